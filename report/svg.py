"""Pictures as SVG. Colours are those of Okabe and Ito, told apart by the colour-blind; patterns and strokes
tell them apart in grey. They follow the page's variables where it sets them (`--dp-ink`, `--dp-paper`,
...)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from markupsafe import escape

from .drawing import Box, Line, Picture, Shape, Text
from .escapes import printable

STYLE = """
.dp-picture{font:12px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
.dp-picture text{fill:var(--dp-ink,#111)}
.dp-picture .dp-place,.dp-picture .dp-number{fill:var(--dp-muted,#555)}
.dp-picture .dp-head,.dp-picture .dp-function{font-weight:700}
.dp-picture .dp-last{font-weight:700}
.dp-picture a text{fill:var(--dp-link,#0550ae);text-decoration:underline}
.dp-picture rect{stroke:var(--dp-ink,#111);stroke-width:1;fill:none}
.dp-picture .dp-section{fill:var(--dp-section,#0072b2);stroke:none}
.dp-picture .dp-lock{fill:var(--dp-paper,#fff)}
.dp-picture .dp-lock{stroke:var(--dp-lock,#007a5a);stroke-width:2;stroke-dasharray:2 2}
.dp-picture .dp-state{fill:var(--dp-paper,#fff)}
.dp-picture .dp-callback{fill:var(--dp-soft,#eef);stroke-dasharray:5 3}
.dp-picture .dp-no{fill:var(--dp-paper,#fff);stroke:var(--dp-rule,#bbb)}
.dp-picture .dp-yes{fill:var(--dp-section,#0072b2);stroke:var(--dp-rule,#bbb)}
.dp-picture .dp-proved{fill:var(--dp-soft,#eef);stroke:var(--dp-rule,#bbb)}
.dp-picture .dp-violated{fill:var(--dp-cause,#c04a00);stroke-width:2}
.dp-picture text.dp-on{fill:var(--dp-paper,#fff);font-weight:700}
.dp-picture .dp-cause{stroke:var(--dp-cause,#c04a00);stroke-width:2}
.dp-picture .dp-last-box{stroke:var(--dp-cause,#c04a00);stroke-width:3}
.dp-picture polyline{fill:none;stroke:var(--dp-ink,#111)}
.dp-picture .dp-rule{stroke:var(--dp-rule,#bbb);stroke-width:1}
.dp-picture .dp-across{stroke-dasharray:6 4}
.dp-picture polyline.dp-cause{stroke-width:3}
"""
"""What the classes look like: once a page, or within a picture that stands alone."""
RELATIONS = {
    "po": ("#888", "none"),
    "rf": ("#007a5a", "none"),
    "co": ("#0072b2", "7 3"),
    "fr": ("#c04a00", "2 3"),
    "dep": ("#7a3e9d", "7 3 2 3"),
}
"""By relation between events, the colour and the dashes of its lines."""
RELATIONS_STYLE = "".join(
    f".dp-picture polyline.dp-{role}{{stroke:{colour};stroke-width:1.5;stroke-dasharray:{dashes}}}\n"
    f".dp-picture text.dp-{role}{{fill:{colour};font-weight:700}}\n"
    for role, (colour, dashes) in RELATIONS.items()
) + ".dp-picture .dp-event{fill:var(--dp-paper,#fff);stroke:var(--dp-rule,#bbb)}\n"
_HEADS = {
    "flow": (7, "var(--dp-ink,#111)"),
    "cause": (5, "var(--dp-cause,#c04a00)"),
    **{role: (7, colour) for role, (colour, _) in RELATIONS.items()},
}
"""By role of lines that have a head, its size and colour."""

Link = Callable[[str, int], str]
"""``link(file, line)``: where a place in the source is shown; empty if nowhere."""


def _nowhere(file: str, line: int) -> str:
    return ""


def svg(picture: Picture, name: str, link: Link = _nowhere, alone: bool = False) -> str:
    """The picture as an ``svg`` element; with `alone` one that can be a file. `name` keeps the ids of several
    on one page apart: letters, digits and hyphens."""
    relations = {s.role for s in picture.shapes if isinstance(s, Line) and s.role in RELATIONS}
    size = f'viewBox="0 0 {picture.width:g} {picture.height:g}" width="{picture.width:g}"'
    xmlns = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    lines = [
        f'<svg{xmlns} class="dp-picture" role="img" {size} height="{picture.height:g}"'
        f' aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{_safe(picture.title)}</title>',
        f'<desc id="{name}-desc">{_safe(picture.description)}</desc>',
        f"<style>{STYLE}{RELATIONS_STYLE if relations else ''}</style>" if alone else "",
        f"<style>{RELATIONS_STYLE}</style>" if relations and not alone else "",
        "<defs>",
        f'<pattern id="{name}-hatch" width="6" height="6" patternUnits="userSpaceOnUse"'
        ' patternTransform="rotate(45)">'
        '<rect width="6" height="6" style="stroke:none;fill:var(--dp-paper,#fff)"/>'
        '<line x1="0" y1="0" x2="0" y2="6" style="stroke:var(--dp-grace,#b36b00);stroke-width:4"/></pattern>',
        *(
            f'<marker id="{name}-{role}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="{size}"'
            f' markerHeight="{size}" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z"'
            f' style="fill:{colour}"/></marker>'
            for role, (size, colour) in _HEADS.items()
            if role in ("flow", "cause") or role in relations
        ),
        "</defs>",
        f'<rect width="{picture.width:g}" height="{picture.height:g}" style="stroke:none;'
        'fill:var(--dp-paper,#fff)"/>'
        if alone
        else "",
        *(line for s in picture.shapes for line in _shape(s, name, link)),
        "</svg>",
    ]
    return "\n".join(filter(None, lines)) + "\n"


def _safe(text: str) -> str:
    return str(escape(printable(text)))


def _shape(shape: Shape, name: str, link: Link) -> Iterator[str]:
    if isinstance(shape, Box):
        yield from _box(shape, name)
    elif isinstance(shape, Line):
        points = " ".join(f"{x:g},{y:g}" for x, y in shape.points)
        head = f' marker-end="url(#{name}-{shape.role})"' if shape.role in _HEADS else ""
        yield f'<polyline class="dp-{shape.role}" points="{points}"{head}/>'
    else:
        yield _text(shape, link)


def _box(box: Box, name: str) -> Iterator[str]:
    role = "last-box" if box.role == "last" else box.role
    hatched = box.role in ("grace", "unknown")
    fill = f' style="fill:url(#{name}-hatch)"' if hatched else ""
    round_ = ' rx="6"' if box.role in ("state", "callback") else ""
    yield (
        f'<rect class="dp-{role}" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
        f"{round_}{fill}>" + (f"<title>{_safe(box.title)}</title>" if box.title else "") + "</rect>"
    )


def _text(text: Text, link: Link) -> str:
    anchor = "" if text.anchor == "start" else f' text-anchor="{text.anchor}"'
    turned = f' transform="rotate(-90 {text.x:g} {text.y:g})"' if text.upwards else ""
    element = (
        f'<text class="dp-{text.role}" x="{text.x:g}" y="{text.y:g}" xml:space="preserve"{anchor}{turned}>'
        f"{_safe(text.text)}</text>"
    )
    target = link(text.file, text.line) if text.file else ""
    return f'<a href="{escape(target)}">{element}</a>' if target else element
