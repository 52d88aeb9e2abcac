"""Cologne Chip's GateMate as a platform of Amaranth, which has none: the design and its pins as files."""

from __future__ import annotations

from amaranth.build import TemplatedPlatform  # type: ignore[import-untyped]

__all__ = ["GateMatePlatform"]


class GateMatePlatform(TemplatedPlatform):  # type: ignore[misc]
    """Writes ``NAME.il``, and ``NAME.ccf`` with the pins; it runs no tools."""

    toolchain = "Peppercorn"
    required_tools: tuple[str, ...] = ()
    command_templates: tuple[str, ...] = ()
    file_templates = {
        **TemplatedPlatform.build_script_templates,
        "{{name}}.il": "{{emit_rtlil()}}",
        "{{name}}.ccf": r"""
            {% for port_name, pin_name, attrs in platform.iter_port_constraints_bits() -%}
                Net "{{port_name}}" Loc = "{{pin_name}}"
                {%- for key, value in attrs.items() %} | {{key}}={{value}}{% endfor %};
            {% endfor %}
        """,
    }
