"""Grown models: lookup tables that choose their inputs. See :mod:`rdahw.families.grown.rule`."""

from rdahw.families.grown.rule import GrownState, PlainGrown
from rdahw.families.grown.spec import GrownSpec, VotesSpec
from rdahw.families.grown.votes import PlainVotes

__all__ = ["GrownSpec", "GrownState", "PlainGrown", "PlainVotes", "VotesSpec"]
