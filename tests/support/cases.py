"""The methods and options that the loss tests cover."""

from itertools import product

GAMES = ("non_saturating", "hinge")
BATCHES = ("quarter_four_ways", "each_one_way", "each_four_ways", "random")
JOINT_BATCHES = ("each_one_way", "each_four_ways")
FORMS = ("multi_hinge", "cross_entropy")
DIST_LOSSES = ("log", "hinge_sigmoid", "hinge_logit")
PENALTIES = ("released", "plus", "minus", "off")
NORMS = ("rms", "l2")
UNSURE = (("unconditional", "left_out"), ("threshold", "confidence"))
WEIGHTS = {"weight_d": 0.7, "weight_g": 1.3}
FAKE_CLASSES = ("rotated", "upright")
GENERATOR_LOSSES = ("eq9", "eq34", "released")
VARIANTS: list[dict[str, object]] = [  # of MSGAN's task
    {"fake_class": fake_class, "generator_loss": loss} for fake_class, loss in product(FAKE_CLASSES, GENERATOR_LOSSES)
]

STANDARD = (
    [("gan", {"game": game}) for game in GAMES]
    + [("wgan_gp", {}), ("wgan_gp", {"lambda_gp": 0.3})]
    + [(name, {"game": game, "lambda_gp": 0.3}) for name, game in product(("gan", "ssgan", "msgan"), GAMES)]
    + [("ssgan", {"batches": "random", "lambda_gp": 10.0})]
    + [("ssgan", {"game": game, "batches": b}) for game, b in product(GAMES, BATCHES)]
    + [("msgan", {"game": game, "batches": b}) for game, b in product(GAMES, BATCHES)]
    + [("ssgan", WEIGHTS), ("msgan", WEIGHTS)]
    + [("msgan", variant | {"batches": b} | WEIGHTS) for variant, b in product(VARIANTS, ("each_one_way", "random"))]
    + [(name, {"game": game, "batches": b}) for name, game, b in product(("dagan", "dagan_md"), GAMES, JOINT_BATCHES)]
    + [("ssgan_la", {"form": form, "batches": b}) for form, b in product(FORMS, JOINT_BATCHES)]
    + [("ssgan_la_plus", {"form": form, "batches": b} | WEIGHTS) for form, b in product(FORMS, JOINT_BATCHES)]
    + [("ssgan_la_plus", {"game": "non_saturating"})]
    + [("conditional_gan", {"game": game}) for game in GAMES]
    + [("pacgan", {"game": game, "packing": m}) for game, m in product(GAMES, (1, 2, 4))]
)
SHARES = (0.0, 0.5, 1.0)
SELF_LABELLED: list[tuple[str, dict[str, object]]] = [
    ("self_labelling", {"prototypes": 4, "threshold": 0.6} | changes)
    for changes in (
        *({"game": game, "labelled": share} for game, share in product(GAMES, SHARES)),
        *({"latent_label": "mixture", "uncertain": u, "weighting": w} for u, w in product(*UNSURE)),
        {"distance": "cosine", "uncertain": "left_out", "labelled": 0.5},
        {"conditional_generator": False},
        {"fakes": "always"},
        {"fakes": "as_real"},
        {"fakes": "as_real", "weighting": "confidence", "labelled": 0.5, "game": "non_saturating"},
        {"weight_classifier": 0.7, "weighting": "confidence", "labelled": 0.5},
        {"prototypes": 1},
        {"threshold": 0.0},
        {"threshold": 1.0},
        {"lambda_gp": 0.0},
        {"other_losses": 0.5, "labelled": 0.5, "weight_classifier": 0.7},
        {"other_losses": 0.25, "latent_label": "mixture", "game": "non_saturating"},
    )
]
CLASSIFIERS: list[tuple[str, dict[str, object]]] = [
    ("one_vs_all", {"updates_per_task": 1}),
    *(("one_vs_all", {"rotation_weight": 0.7, "batches": b}) for b in BATCHES),
    *(("rotation_classifier", {"batches": b}) for b in BATCHES),
    *(("rotation_classifier_ms", {"fake_class": k, "batches": b}) for k, b in product((None, 1, 7), BATCHES)),
]
TASKS = [(name, {"loss": loss} | WEIGHTS) for name in ("dist_gan_ss", "dist_gan_ms") for loss in DIST_LOSSES]
TASKS += [("dist_gan_ms", variant | WEIGHTS) for variant in VARIANTS]
PENALISED = [
    ("dist_gan", {"loss": loss, "penalty": penalty, "penalty_norm": norm, "lambda_p": 0.5})
    for loss, penalty, norm in product(DIST_LOSSES, PENALTIES, NORMS)
]


def case_id(case: tuple[str, dict[str, object]]) -> str:
    name, options = case
    return "-".join([name, *map(str, options.values())])
