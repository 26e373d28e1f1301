"""The figures of one experiment each, which follow the main figure: what each shows, and how to read it."""

from collections.abc import Collection
from typing import NamedTuple


class FigureSection(NamedTuple):
    """A section of one figure. `alternative`: the text for readers who do not see it."""

    heading: str
    name: str
    alternative: str
    caption: str


SECTIONS = (
    FigureSection(
        "Densities",
        "density.png",
        "Density of the samples of every method on a line, beside the real data",
        "Gaussian kernel densities, with Scott's bandwidth, of samples at the end of every finished training (a"
        " coloured line each) and of the real data (grey). Dashed: the density that the method tends to in theory,"
        " with optimal players, where it is known. Peak is the highest density, in the mean over trainings; limit is"
        " that of the dashed line. All panels share their axes.",
    ),
    FigureSection(
        "Samples in the plane",
        "scatter.png",
        "Samples of every method in the plane, with the modes of the data",
        "Real points, and samples at the end of the first finished training of each method, on the same axes. Rings"
        " are modes that this training covers by the rule of its protocol, crosses modes that it misses.",
    ),
    FigureSection(
        "Accuracy on tasks in turn",
        "tasks.png",
        "Accuracy against training step, with the switches of the task",
        "Lines are means over finished seeds; bands range from the lowest seed to the highest. The task changes at"
        " every dotted line, where a curve falls from the accuracy on the last task to that of the same weights on the"
        " next one. The first task returns at the thick line, and the second cycle is shaded: a classifier that has"
        " learned something from the first cycle is better there.",
    ),
    FigureSection(
        "Losses of single classes",
        "class_losses.png",
        "Loss of the full test set and of each class alone",
        "The loss of a generator that makes the full test set (line: mean over seeds; band: lowest to highest seed),"
        " and of collapsed ones that make the images of one class alone (large dots: mean over seeds; small dots: one"
        " seed). Filled dots are classes below the line: the loss rewards a collapse to them.",
    ),
)


def sections(figures: Collection[str]) -> list[str]:
    """The sections whose figures were drawn. `figures`: file names."""
    return [
        block
        for section in SECTIONS
        if section.name in figures
        for block in (
            f"## {section.heading}",
            f"![{section.alternative}](figures/{section.name})",
            f"*{section.caption}*",
        )
    ]
