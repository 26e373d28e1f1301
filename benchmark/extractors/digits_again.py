"""The digit classifier trained once more, to see how much of a number is the training of the instrument."""

from typing import ClassVar

from benchmark.extractors.digits import Digits


class DigitsAgain(Digits):
    """The same network, recipe and images as `digits`; only its first weights and its batches are drawn anew."""

    name = "digits_again"
    about = "the harness' digit classifier trained a second time, from another seed"
    title = "second digit classifier"
    fact_titles: ClassVar[dict[str, str]] = {
        "second_classifier_accuracy": "second digit classifier's accuracy on held-out digits"
    }
    seed: ClassVar[int] = 1
