"""Pictures as TikZ. `PREAMBLE` is what a document that has some needs."""

from __future__ import annotations

from collections.abc import Iterator

from .drawing import CHARACTER, Box, Line, Picture, Shape, Text
from .escapes import latex

PREAMBLE = r"""\usepackage{tikz}
\usetikzlibrary{arrows.meta,patterns}
\definecolor{dpsection}{HTML}{0072B2}
\definecolor{dpgrace}{HTML}{B36B00}
\definecolor{dplock}{HTML}{007A5A}
\definecolor{dpcause}{HTML}{C04A00}
\definecolor{dpsoft}{HTML}{EEEEFF}
\definecolor{dpdep}{HTML}{7A3E9D}
\tikzset{
  dpsection/.style={fill=dpsection,draw=none},
  dpgrace/.style={pattern=north east lines,pattern color=dpgrace,draw=black},
  dplock/.style={draw=dplock,line width=0.8pt,densely dotted},
  dpstate/.style={draw,rounded corners=2pt},
  dpcallback/.style={draw,dashed,fill=dpsoft,rounded corners=2pt},
  dpyes/.style={fill=dpsection,draw=black!30},
  dpno/.style={draw=black!30},
  dpunknown/.style={pattern=north east lines,pattern color=dpgrace,draw=black!30},
  dpproved/.style={fill=dpsoft,draw=black!30},
  dpviolated/.style={fill=dpcause,draw=black,line width=0.8pt},
  dpcausebox/.style={draw=dpcause,line width=0.8pt},
  dplastbox/.style={draw=dpcause,line width=1.4pt},
  dprule/.style={draw=black!25,line width=0.3pt},
  dpacross/.style={draw,dashed},
  dpflow/.style={draw,-{Latex}},
  dpcauseline/.style={draw=dpcause,line width=1.2pt,-{Latex}},
  dpevent/.style={draw=black!30,fill=white},
  dppo/.style={draw=black!50,-{Latex}},
  dprf/.style={draw=dplock,line width=0.6pt,-{Latex}},
  dpco/.style={draw=dpsection,line width=0.6pt,dashed,-{Latex}},
  dpfr/.style={draw=dpcause,line width=0.6pt,densely dotted,-{Latex}},
  dpdep/.style={draw=dpdep,line width=0.6pt,dash dot,-{Latex}},
}
"""
_LETTER = 0.525
"""Width of a letter of Computer Modern Typewriter, in its size."""
WIDEST, HIGHEST = 470.0, 680.0
"""Points that a picture may take on a page of A4."""


def tikz(picture: Picture, widest: float = WIDEST, highest: float = HIGHEST) -> str:
    """The picture as a ``tikzpicture``, no wider and no higher than said (points)."""
    scale = min(0.55, widest / picture.width, highest / picture.height)
    size = scale * CHARACTER / _LETTER * 0.97
    lines = [
        rf"% {latex(picture.title, breaks=False)}",
        rf"\begin{{tikzpicture}}[x={scale:.4f}pt,y=-{scale:.4f}pt,inner sep=0pt,outer sep=0pt,"
        rf"font=\ttfamily\fontsize{{{size:.2f}}}{{{size * 1.15:.2f}}}\selectfont]",
        rf"\path[use as bounding box] (0,0) rectangle ({picture.width:g},{picture.height:g});",
        *(line for s in picture.shapes for line in _shape(s)),
        r"\end{tikzpicture}",
    ]
    return "\n".join(lines) + "\n"


def _shape(shape: Shape) -> Iterator[str]:
    if isinstance(shape, Box):
        role = f"dp{shape.role}box" if shape.role in ("cause", "last") else f"dp{shape.role}"
        corner = f"({shape.x + shape.width:g},{shape.y + shape.height:g})"
        yield rf"\path[{role}] ({shape.x:g},{shape.y:g}) rectangle {corner};"
    elif isinstance(shape, Line):
        role = "dpcauseline" if shape.role == "cause" else f"dp{shape.role}"
        yield rf"\path[{role}] {' -- '.join(f'({x:g},{y:g})' for x, y in shape.points)};"
    else:
        yield _text(shape)


_STYLES = {
    "head": r"\bfseries ",
    "function": r"\bfseries ",
    "last": r"\bfseries ",
    "place": r"\color{black!60}",
    "number": r"\color{black!60}",
    "on": r"\color{white}\bfseries ",
    "rf": r"\color{dplock}\bfseries ",
    "co": r"\color{dpsection}\bfseries ",
    "fr": r"\color{dpcause}\bfseries ",
    "dep": r"\color{dpdep}\bfseries ",
}


def _text(text: Text) -> str:
    anchor = {"start": "base west", "end": "base east", "middle": "base"}[text.anchor]
    turned = ",rotate=90" if text.upwards else ""
    shown = latex(text.text, breaks=False).replace(" ", r"\ ").replace(r"\_", r"\char95{}")
    return (
        rf"\node[anchor={anchor}{turned}] at ({text.x:g},{text.y:g}) {{{_STYLES.get(text.role, '')}{shown}}};"
    )
