"""Published tables, typed a second time from the papers' texts as they are laid out there, independently of the files.

A column names a table of the file and a metric, or what the paper prints; `-` is an empty cell.
"""

from functools import cache
from pathlib import Path

import pytest

from benchmark.analysis.verdicts import protocol_mismatches
from benchmark.config.published import find_paper as read_paper
from benchmark.config.published import reference_rows
from benchmark.config.suite import load_suite
from benchmark.core import registry
from benchmark.core.protocol import metric_outputs

FOLDER = Path("suites/papers")
find_paper = cache(read_paper)

MSGAN_TABLE_1 = """
row                  | cifar10-cnn: fid | stl10-cnn: fid | cifar10-resnet: fid | stl10-resnet: fid
GAN-GP               | 37.7             | -              | -                   | -
WGAN-GP              | 40.2             | 55.1           | -                   | -
SN-GAN               | 25.5             | 43.2           | 21.70 ± .21         | 40.10 ± .50
Dist-GAN             | 22.95            | 36.19          | 17.61 ± .30         | 28.50 ± .49
GN-GAN               | 21.70            | 30.80          | 16.47 ± .28         | -
SAGAN (conditional)  | -                | -              | 13.4                | -
BigGAN (conditional) | -                | -              | 14.73               | -
Dist-GAN + SS        | 21.40            | 29.79          | 14.97 ± .29         | 27.98 ± .38
Dist-GAN + MS        | 18.88            | 27.95          | 13.90 ± .22         | 27.10 ± .34
"""
MSGAN_TABLE_1_STARRED = """
row           | cifar10-resnet-10k10k: fid_10k
SN-GAN        | 19.73
SS-GAN        | 15.65
Dist-GAN      | 13.01
SSGAN+        | 20.47
SSGAN+ + MS   | 19.89
Dist-GAN + SS | 12.37
Dist-GAN + MS | 11.40
"""
MSGAN_TABLE_2 = """
row           | cifar100-resnet: fid | imagenet32-resnet: fid_10k
Dist-GAN + SS | 21.02                | 17.1
Dist-GAN + MS | 19.74                | 12.3
"""
MSGAN_CELEBA = """
row         | celeba64: fid
SSGAN+      | 35.03
SSGAN+ + MS | 33.47
"""
MSGAN_TABLE_3 = """
row           | stacked-mnist-k4: modes | stacked-mnist-k4: kl | stacked-mnist-k2: modes | stacked-mnist-k2: kl
Unrolled GAN  | 372.2 ± 20.7            | 4.66 ± 0.46          | 817.4 ± 39.9            | 1.43 ± 0.12
WGAN-GP       | 640.1 ± 136.3           | 1.97 ± 0.70          | 772.4 ± 146.5           | 1.35 ± 0.55
Dist-GAN      | 859.5 ± 68.7            | 1.04 ± 0.29          | 917.9 ± 69.6            | 1.06 ± 0.23
ProGAN        | 859.5 ± 36.2            | 1.05 ± 0.09          | 919.8 ± 35.1            | 0.82 ± 0.13
Dist-GAN + SS | 906.75 ± 26.15          | 0.90 ± 0.13          | 957.50 ± 31.23          | 0.61 ± 0.15
Dist-GAN + MS | 926.75 ± 32.65          | 0.78 ± 0.13          | 976.00 ± 10.04          | 0.52 ± 0.07
"""
SSGAN_TABLE_1 = """
row          | cifar10-best: fid | imagenet128: fid | lsun-bedroom: fid | celeba-hq: fid
Uncond-GAN   | 19.73             | 56.67            | 16.02             | 23.77
Cond-GAN     | 15.60             | 42.07            | -                 | -
SS-GAN       | 17.11             | 47.56            | 13.66             | 26.11
SS-GAN (sBN) | 15.65             | 43.87            | 13.30             | 24.36
"""
SSGAN_TABLE_2 = """
row                               | cifar10 Uncond | cifar10 SS   | imagenet128 Uncond | imagenet128 SS
GP λ 1, β 0 and 0.9, 1 D step      | 121.05 ± 31.44 | 25.8 ± 0.71  | 183.36 ± 77.21     | 80.67 ± 0.43
GP λ 1, β 0 and 0.9, 2 D steps     | 28.11 ± 0.66   | 26.98 ± 0.54 | 85.13 ± 2.88       | 83.08 ± 0.38
GP λ 1, β 0.5 and 0.999, 1 D step  | 78.54 ± 6.23   | 25.89 ± 0.33 | 104.73 ± 2.71      | 91.63 ± 2.78
GP λ 10, β 0 and 0.9, 1 D step     | 188.52 ± 64.54 | 28.48 ± 0.68 | 227.04 ± 31.45     | 85.38 ± 2.7
GP λ 10, β 0 and 0.9, 2 D steps    | 29.11 ± 0.85   | 27.74 ± 0.73 | 227.74 ± 16.82     | 80.82 ± 0.64
GP λ 10, β 0.5 and 0.999, 1 D step | 117.67 ± 17.46 | 25.22 ± 0.38 | 242.71 ± 13.62     | 144.35 ± 91.4
SN, β 0 and 0.9, 1 D step          | 87.86 ± 3.44   | 19.65 ± 0.9  | 129.96 ± 6.6       | 86.09 ± 7.66
SN, β 0 and 0.9, 2 D steps         | 20.24 ± 0.62   | 17.88 ± 0.64 | 80.05 ± 1.33       | 70.64 ± 0.31
SN, β 0.5 and 0.999, 1 D step      | 86.87 ± 8.03   | 18.23 ± 0.56 | 201.94 ± 27.28     | 99.97 ± 2.75
"""
# fractions, as printed
SSGAN_TABLE_3 = """
row    | Uncond-GAN | Cond-GAN | Rot-only | SS-GAN (sBN)
block0 | 0.719      | 0.719    | 0.710    | 0.721
block1 | 0.762      | 0.759    | 0.749    | 0.774
block2 | 0.778      | 0.776    | 0.762    | 0.796
block3 | 0.776      | 0.780    | 0.752    | 0.799
best   | 0.778      | 0.780    | 0.762    | 0.799
"""
SSGAN_TABLE_4 = """
row    | Uncond-GAN | Cond-GAN | Rot-only | SS-GAN (sBN)
block0 | 0.074      | 0.156    | 0.147    | 0.158
block1 | 0.063      | 0.187    | 0.134    | 0.222
block2 | 0.073      | 0.217    | 0.158    | 0.250
block3 | 0.083      | 0.272    | 0.202    | 0.327
block4 | 0.077      | 0.253    | 0.196    | 0.358
block5 | 0.074      | 0.337    | 0.195    | 0.383
best   | 0.083      | 0.337    | 0.202    | 0.383
"""
DIST_GAN_TABLE_1 = """
row          | stacked-mnist-k4: modes | stacked-mnist-k4: kl | stacked-mnist-k2: modes | stacked-mnist-k2: kl
GAN          | 30.6 ± 20.7             | 5.99 ± 0.04          | 628.0 ± 140.9           | 2.58 ± 0.75
Unrolled GAN | 372.2 ± 20.7            | 4.66 ± 0.46          | 817.4 ± 39.9            | 1.43 ± 0.12
WGAN-GP      | 640.1 ± 136.3           | 1.97 ± 0.70          | 772.4 ± 146.5           | 1.35 ± 0.55
Dist-GAN     | 859.5 ± 68.7            | 1.04 ± 0.29          | 917.9 ± 69.6            | 1.06 ± 0.23
"""
DIST_GAN_TABLE_2 = """
row      | celeba-dcgan: fid | cifar10-dcgan: fid
NS GAN   | 58.0 ± 2.7        | 58.6 ± 2.1
LSGAN    | 53.6 ± 4.2        | 67.1 ± 2.9
WGAN-GP  | 26.8 ± 1.2        | 52.9 ± 1.3
BEGAN    | 38.1 ± 1.1        | 71.4 ± 1.1
VAEGAN   | 27.5 ± 1.9        | 58.1 ± 3.2
Dist-GAN | 23.7 ± 0.3        | 45.6 ± 1.2
"""
SN_GAN_TABLE_2 = """
row                                 | cifar10 IS  | stl10 IS    | cifar10 FID | stl10 FID
cnn: Real images                    | 11.24 ± .12 | 26.08 ± .26 | 7.8         | 7.9
cnn: Weight clipping                | 6.41 ± .11  | 7.57 ± .10  | 42.6        | 64.2
cnn: GAN-GP                         | 6.93 ± .08  | -           | 37.7        | -
cnn: WGAN-GP                        | 6.68 ± .06  | 8.42 ± .13  | 40.2        | 55.1
cnn: Batch norm                     | 6.27 ± .10  | -           | 56.3        | -
cnn: Layer norm                     | 7.19 ± .12  | 7.61 ± .12  | 33.9        | 75.6
cnn: Weight norm                    | 6.84 ± .07  | 7.16 ± .10  | 34.7        | 73.4
cnn: Orthonormal                    | 7.40 ± .12  | 8.56 ± .07  | 29.0        | 46.7
cnn: SN-GAN                         | 7.42 ± .08  | 8.28 ± .09  | 29.3        | 53.1
cnn: Orthonormal, twice the updates | -           | 8.67 ± .08  | -           | 44.2
cnn: SN-GAN, twice the updates      | -           | 8.69 ± .09  | -           | 47.5
cnn: SN-GAN (hinge)                 | 7.58 ± .12  | 8.79 ± .14  | 25.5        | 43.2
resnet: Orthonormal (hinge)         | 7.92 ± .04  | 8.72 ± .06  | 23.8 ± .58  | 42.4 ± .99
resnet: SN-GAN                      | 8.22 ± .05  | 9.10 ± .04  | 21.7 ± .21  | 40.1 ± .50
"""

Cells = dict[tuple[str, str], tuple[float, float | None]]


def cells(text: str) -> Cells:
    """(row, column) -> (value, spread) of the cells of a typed table that are not empty."""
    header, *rows = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    return {
        (row[0], column): number(cell)
        for row in rows
        for column, cell in zip(header[1:], row[1:], strict=True)
        if cell != "-"
    }


def number(cell: str) -> tuple[float, float | None]:
    value, _, spread = cell.partition("±")
    return float(value), float(spread) if spread else None


def published(paper: str, *tables: str) -> Cells:
    """(row, `table: metric`) -> (value, spread) of every value in some tables of the files."""
    found = find_paper(FOLDER, paper)
    return {
        (row.row, f"{table}: {metric}"): numbers
        for table in tables
        for row in reference_rows(found, table)
        for metric, numbers in row.values.items()
    }


def percentages(table: str, typed: Cells) -> Cells:
    """A typed table of fractions with a row per block, as the file has it."""
    return {
        (method, f"{table}: linear_probe_{block}"): (round(100 * fraction, 1), None)
        for (block, method), (fraction, _) in typed.items()
    }


def settings(typed: Cells) -> Cells:
    """Table 2 of SSGAN: a row per setting and a column per dataset and method."""
    methods = {"Uncond": "Uncond-GAN", "SS": "SS-GAN"}
    return {
        (f"{row}: {methods[column.split()[1]]}", f"{column.split()[0]}-regularisers: fid"): numbers
        for (row, column), numbers in typed.items()
    }


def networks(typed: Cells) -> Cells:
    """Table 2 of SN-GAN: network and method in a row, dataset and metric in a column."""
    metrics = {"IS": "isc", "FID": "fid"}
    return {
        (row.split(": ")[1], f"{column.split()[0]}-{row.split(': ')[0]}: {metrics[column.split()[1]]}"): numbers
        for (row, column), numbers in typed.items()
    }


STACKED = ("stacked-mnist-k4", "stacked-mnist-k2")
TYPED = {
    "MSGAN 1": (
        published("neurips2019", "cifar10-cnn", "stl10-cnn", "cifar10-resnet", "stl10-resnet"),
        cells(MSGAN_TABLE_1),
    ),
    "MSGAN 1, starred": (published("neurips2019", "cifar10-resnet-10k10k"), cells(MSGAN_TABLE_1_STARRED)),
    "MSGAN 2": (published("neurips2019", "cifar100-resnet", "imagenet32-resnet"), cells(MSGAN_TABLE_2)),
    "MSGAN CelebA": (published("neurips2019", "celeba64"), cells(MSGAN_CELEBA)),
    "MSGAN 3": (published("neurips2019", *STACKED), cells(MSGAN_TABLE_3)),
    "SSGAN 1": (
        published("cvpr2019", "cifar10-best", "imagenet128", "lsun-bedroom", "celeba-hq"),
        cells(SSGAN_TABLE_1),
    ),
    "SSGAN 2": (
        published("cvpr2019", "cifar10-regularisers", "imagenet128-regularisers"),
        settings(cells(SSGAN_TABLE_2)),
    ),
    "SSGAN 3": (
        published("cvpr2019", "linear-probe-cifar10"),
        percentages("linear-probe-cifar10", cells(SSGAN_TABLE_3)),
    ),
    "SSGAN 4": (
        published("cvpr2019", "linear-probe-imagenet"),
        percentages("linear-probe-imagenet", cells(SSGAN_TABLE_4)),
    ),
    "Dist-GAN 1": (published("distgan2018", *STACKED), cells(DIST_GAN_TABLE_1)),
    "Dist-GAN 2": (published("distgan2018", "celeba-dcgan", "cifar10-dcgan"), cells(DIST_GAN_TABLE_2)),
    "SN-GAN 2": (
        published("sngan2018", "cifar10-cnn", "cifar10-resnet", "stl10-cnn", "stl10-resnet"),
        networks(cells(SN_GAN_TABLE_2)),
    ),
}


@pytest.mark.parametrize("name", TYPED)
def test_a_file_holds_exactly_the_table_of_its_paper(name):
    file, typed = TYPED[name]
    assert file == typed


# --- protocols of the headline tables ------------------------------------------------------------------

MSGAN_ROWS = ("Dist-GAN", "Dist-GAN + SS", "Dist-GAN + MS")  # trained by its authors, not quoted from others
SSGAN_ROWS = ("Uncond-GAN", "Cond-GAN", "SS-GAN", "SS-GAN (sBN)")
HEADLINES = [
    ("neurips2019", "cifar10-resnet", MSGAN_ROWS),
    ("neurips2019", "cifar10-cnn", MSGAN_ROWS),
    ("neurips2019", "stl10-resnet", MSGAN_ROWS),
    ("neurips2019", "stl10-cnn", MSGAN_ROWS),
    ("neurips2019", "cifar10-resnet-10k10k", (*MSGAN_ROWS, "SSGAN+", "SSGAN+ + MS")),
    ("neurips2019", "cifar100-resnet", MSGAN_ROWS[1:]),
    ("neurips2019", "imagenet32-resnet", MSGAN_ROWS[1:]),
    ("neurips2019", "stacked-mnist-k4", MSGAN_ROWS),
    ("neurips2019", "stacked-mnist-k2", MSGAN_ROWS),
    ("cvpr2019", "cifar10-best", SSGAN_ROWS),
    ("cvpr2019", "cifar10-regularisers", tuple(row for row, _ in settings(cells(SSGAN_TABLE_2)))),
]


def required(metric: str) -> frozenset[str]:
    """The fields that a published protocol must state for a value of a metric to be judged."""
    measured = registry.metrics[{"fid_10k": "fid", "kl": "modes"}.get(metric, metric)]
    fixed = {"n_fake", *measured.protocol_fields(measured.Options())}
    return measured.required_fields & fixed


@pytest.mark.parametrize("paper, table, names", HEADLINES)
def test_every_headline_value_states_what_a_verdict_requires(paper, table, names):
    rows = {row.row: row for row in reference_rows(find_paper(FOLDER, paper), table)}
    for name in names:
        for value in rows[name].all_values:
            assert value.status == "verified"
            assert required(value.metric) <= value.protocol.stated.keys(), (name, value.metric)


@pytest.mark.parametrize("name", ["neurips2019", "cvpr2019"])
def test_a_suite_measures_by_the_protocol_of_its_headline_values(name):
    """Only CelebA, whose numbers of images are not stated, and values of other papers may be without a verdict."""
    headlines = {
        (find_paper(FOLDER, paper).tables[table].title, row) for paper, table, rows in HEADLINES for row in rows
    }
    judged = 0
    for cell in load_suite(Path(f"suites/{name}.yaml")).cells:
        published = cell.published
        if published is None or (published.table.title, published.row) not in headlines:
            continue
        for metric in published.values.keys() & metric_outputs(cell.specs[0].protocol).keys() & {"fid", "fid_10k"}:
            assert protocol_mismatches(published, cell.specs[0], metric) == (), (cell.table, cell.row)
            judged += 1
    assert judged


@pytest.mark.parametrize(
    "paper, table, row, from_paper, from_code",
    [
        (
            "neurips2019",
            "cifar10-resnet",
            "Dist-GAN + MS",
            {"n_real": 10000, "n_fake": 5000, "checkpoint": "best", "evaluate_every": 10000},
            {
                "reference_split": "train",
                "feature_extractor": "inception",
                "codec": "jpeg",
                "batch_norm": "batch",
                "step_unit": "generator",
            },
        ),
        (
            "neurips2019",
            "cifar10-resnet-10k10k",
            "SSGAN+",
            {"n_real": 10000, "n_fake": 10000, "checkpoint": "best", "evaluate_every": 10000},
            {"reference_split": "test", "feature_extractor": "inception"},
        ),
        (
            "neurips2019",
            "stacked-mnist-k4",
            "Dist-GAN + MS",
            {"aggregation": "mean"},
            {
                "n_fake": 25600,
                "codec": "jpeg",
                "batch_norm": "batch",
                "feature_extractor": "MSGAN's MNIST classifier",
            },
        ),
        (
            "neurips2019",
            "celeba64",
            "SSGAN+",
            {},
            {"images": "the middle 160x160 made 64x64", "feature_extractor": "inception"},
        ),
        (
            "cvpr2019",
            "cifar10-best",
            "SS-GAN",
            {
                "aggregation": "best",
                "reference_split": "test",
                "n_real": 10000,
                "n_fake": 10000,
                "feature_extractor": "inception",
            },
            {},
        ),
    ],
)
def test_each_field_of_a_headline_protocol_has_its_origin(paper, table, row, from_paper, from_code):
    (found,) = [one for one in reference_rows(find_paper(FOLDER, paper), table) if one.row == row]
    assert found.stated_protocol.stated == from_paper
    assert set(found.from_code) == set(from_code)
    assert found.protocol.stated == {**from_paper, **from_code}
