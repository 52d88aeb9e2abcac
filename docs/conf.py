"""The documentation site, made by Sphinx: `make docs`."""

from __future__ import annotations

import inspect
import os
import re
import sysconfig
from importlib.metadata import metadata

import click
from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from rdahw.cli import COMMANDS, cli
from rdahw.data import catalogue

project = "rdahw"
author = metadata("rdahw")["Author"]
copyright = author
version = release = metadata("rdahw")["Version"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["_templates"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"rdahw {version}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
highlight_language = "none"  # a block without a language is text
smartquotes = False  # they make a dash of the two hyphens of an option
myst_heading_anchors = 6  # links to headings, named as GitHub names them
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_type_aliases = {"ArrayLike": "ArrayLike", "NDArray": "NDArray"}  # by these names
maximum_signature_line_length = 100

#: The data set that a notebook reads if it is not one of those that are installed with rdahw.
NEEDS = {"notebooks/mnist-in-a-minute": "mnist"}
#: The notebooks whose data set is not found here: they are on the site without results, and say so.
MISSING = {
    page: NEEDS[page] for page in NEEDS for record in catalogue() if (record.name, record.found) == (NEEDS[page], None)
}

nb_execution_mode = "force"  # run at every build, so that results are those of this version
nb_execution_excludepatterns = [f"{page}.md" for page in MISSING]
# The cells of a notebook that is not run are highlighted as plain Python, which shell commands are not.
suppress_warnings = ["misc.highlighting_failure"] if MISSING else []
nb_execution_in_temp = True  # the files that they write are not left in docs/
nb_execution_timeout = -1  # none, as machines differ
nb_execution_show_tb = True  # an error is a warning, which make docs takes for an error
nb_merge_streams = True  # what a command prints stays in its order
os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])  # their shells find rdahw

#: Where a link from docs/ to another file of the repository leads on the site.
REPOSITORY = "https://github.com/rdahw/rdahw/blob/main/"


def link_to_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """The site has the pages of docs/ only: other files are read on GitHub."""
    up = r"\.\./" * (page.count("/") + 1)
    source[0] = re.sub(rf"\]\({up}", f"]({REPOSITORY}", source[0])


def say_what_is_missing(app: Sphinx, page: str, source: list[str]) -> None:
    """Below the title of a notebook that was not run, what it needs."""
    if page in MISSING:
        what = f"This page was made without the data set {MISSING[page]}, so its results are missing."
        note = f"```{{note}}\n{what} `rdahw datasets` says how to get it.\n```"
        title = re.search(r"^# .*$", source[0], re.MULTILINE)
        assert title is not None, f"{page} has no title"
        source[0] = f"{source[0][: title.end()]}\n\n{note}{source[0][title.end() :]}"


def mark_names(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Make a list of the lines of a docstring that begin with names, such as «low, high : the range»."""
    result: list[str] = []
    item = None  # its indentation
    doctest = False
    for line in lines:
        text = line.strip()
        doctest = bool(text) and (doctest or text.startswith(">>>"))
        found = None if doctest else re.match(r"( *)([a-z]\w*(?:, [a-z]\w*)*) ?: (.*)", line)
        if found is not None and (item is None or len(found[1]) <= item):
            if item is None:
                result.append("")
            item = len(found[1])
            names = ", ".join(f"``{name}``" for name in found[2].split(", "))
            line = f"{found[1]}- {names}: {found[3]}"
        elif item is not None and text and len(line) - len(line.lstrip()) >= item:
            line = f"{'':{item}}  {text}"
        else:
            item = None
        result.append(line)
    lines[:] = result


def name_types(
    app: Sphinx, what: str, name: str, thing: object, options: object, arguments: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """The types in `autodoc_type_aliases` by their names also within unions."""
    form = r"TypeAliasForwardRef\('(\w+)'\)"
    return arguments and re.sub(form, r"\1", arguments), result and re.sub(form, r"\1", result)


def leave_out(app: Sphinx, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    """Members that a class has from other packages."""
    function = getattr(member, "fget", member)
    module = getattr(function, "__module__", None)
    return True if callable(function) and not (module or "").startswith("rdahw") else None


def make_accessible(app: Sphinx, page: str, template: str, context: dict[str, object], tree: nodes.Node | None) -> None:
    """Captions of contents are headings of level 2, what may scroll can be scrolled by the keyboard, and a signature of
    several lines is no list of definitions, which would need terms."""

    def lines(found: re.Match[str]) -> str:
        return f'{found[1]}<div style="margin-left: 2em">{found[2].replace("dd>", "div>")}</div>'

    for part in {"body", "furo_navigation_tree"} & context.keys():
        text = str(context[part]).replace('role="heading">', 'role="heading" aria-level="2">')
        text = re.sub(r'(<span class="sig-paren">\(</span>)\s*<dl>(.*?)</dl>', lines, text, flags=re.DOTALL)
        context[part] = re.sub(r'<(pre|div class="table-wrapper[^"]*")>', r'<\1 tabindex="0">', text)


class Commands(SphinxDirective):
    """A section for each command of the command line, from its own help."""

    def run(self) -> list[nodes.Node]:
        context = click.Context(cli, info_name="rdahw", terminal_width=80)
        return [
            literal(cli.get_help(context)),
            *(self.section(name, cli.get_command(context, name), context) for name in COMMANDS),
        ]

    def section(self, name: str, command: click.Command | None, parent: click.Context) -> nodes.section:
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent)
        section = nodes.section("", nodes.title("", f"rdahw {name}"), ids=[name], names=[name])
        section += literal(context.command_path + " " + " ".join(command.collect_usage_pieces(context)))
        section += paragraphs(command.help)
        options = nodes.definition_list()
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and isinstance(parameter, click.Option):  # arguments are in the usage
                anchor = f"{name}-{parameter.opts[0].strip('-')}"
                term = nodes.term("", "", nodes.literal("", record[0]), ids=[anchor])
                options += nodes.definition_list_item("", term, nodes.definition("", nodes.paragraph("", record[1])))
        section += options
        section += paragraphs(command.epilog)
        self.state.document.note_explicit_target(section)
        return section


def literal(text: str) -> nodes.literal_block:
    """Lines as they are."""
    return nodes.literal_block(text, text, language="none")


def paragraphs(text: str | None) -> list[nodes.Node]:
    r"""The paragraphs of a help text; one that begins with \b, as click has it, keeps its lines."""
    found: list[nodes.Node] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text or "")):
        lines = paragraph.split("\n")
        if lines[0].strip() != "\b":
            found.append(nodes.paragraph("", " ".join(lines)))
            continue
        if lines[1].endswith(":"):
            found.append(nodes.paragraph("", lines.pop(1)))
        found.append(literal(inspect.cleandoc("\n" + "\n".join(lines[1:]))))
    return found


def setup(app: Sphinx) -> None:
    """Called by Sphinx with this file as an extension."""
    app.connect("source-read", link_to_repository)
    app.connect("source-read", say_what_is_missing)
    app.connect("autodoc-process-docstring", mark_names)
    app.connect("autodoc-process-signature", name_types)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("html-page-context", make_accessible, priority=900)  # after the theme, which makes the navigation
    app.add_lexer("mermaid", TextLexer)  # GitHub draws it
    app.add_directive("commands", Commands)
