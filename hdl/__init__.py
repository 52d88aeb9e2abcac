"""Circuits as hardware: Amaranth components and trainers, the tools outside Python, and proofs of equality."""
