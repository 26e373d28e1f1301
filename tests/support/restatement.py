"""Every loss restated in plain NumPy and float64, as naively as possible.

The restatement follows the equations of the papers and their released code, and imports nothing from baselines.
`Nets` has closed forms of the networks in stub.py. Each loss is a function of the player, the networks, real images x,
the random draws d, the fraction t of training done and the options o, and returns the weighted terms by name.
"""

import numpy as np

# --- networks -----------------------------------------------------------------------------------------


class Nets:
    """Linear generator and encoder, and a discriminator with one tanh layer, from arrays by name.

    A conditional generator adds an image for the condition, a conditional discriminator a linear score. `network` names
    the one whose layers `features` and `classes` use.
    """

    def __init__(self, arrays, shape):
        self.a = arrays
        self.shape = shape

    def linear(self, name, inputs):
        return inputs @ self.a[f"{name}.weight"].T + self.a[f"{name}.bias"]

    def generate(self, z, y=None):
        shift = 0 if y is None else self.a["generator.1.images.weight"][y]
        return (self.linear("generator.0", z) + shift).reshape(-1, *self.shape)

    def encode(self, x):
        return self.linear("encoder.1", x.reshape(len(x), -1))

    def features(self, x, network="discriminator"):
        return np.tanh(self.linear(f"{network}.hidden", x.reshape(len(x), -1)))

    def logit(self, x, y=None):
        """psi(f(x)), or psi(f(x)) + f(x) V_y under a condition y."""
        f = self.features(x)
        projected = 0 if y is None else np.sum(f * self.a["discriminator.heads.conditions.weight"][y], axis=1)
        return self.linear("discriminator.heads.logit", f)[:, 0] + projected

    def classes(self, x, network="discriminator"):
        return self.linear(f"{network}.heads.classes", self.features(x, network))

    def logit_gradient(self, x):
        """d logit / d x of each image, flat: (1 - tanh^2) W2 W1."""
        through_tanh = (1 - self.features(x) ** 2) * self.a["discriminator.heads.logit.weight"]
        return through_tanh @ self.a["discriminator.hidden.weight"]


# --- pieces -------------------------------------------------------------------------------------------


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def cross_entropy(logits, labels):
    """-mean log softmax(logits)[label]."""
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return -np.mean(np.log(softmax[np.arange(len(labels)), labels]))


def rotate(images, r):
    """Rotate by r times 90 degrees counter-clockwise: transpose, then flip up-down (2.2)."""
    for _ in range(r):
        images = images.swapaxes(2, 3)[:, :, ::-1]
    return images


def shift(points, k):
    """T_k(x) = x + 2k on every coordinate, which takes the place of `rotate` on points."""
    return points + np.full(points.shape, 2 * k)


def all_rotations(images):
    labels = [r for r in range(4) for _ in images]
    return np.concatenate([rotate(images, r) for r in range(4)]), np.array(labels)


def quarter_four_ways(images):
    """The last R/4 of R images, upright and in the three other rotations (2.2)."""
    return all_rotations(images[len(images) - len(images) // 4 :])


def each_one_way(images):
    """Image i of N in rotation floor(4 i / N) (2.3, 2.4)."""
    labels = [4 * i // len(images) for i in range(len(images))]
    return np.stack([rotate(images[i : i + 1], r)[0] for i, r in enumerate(labels)]), np.array(labels)


BATCHES = {"quarter_four_ways": quarter_four_ways, "each_one_way": each_one_way, "each_four_ways": all_rotations}


def batch(images, o, order=None):
    """The batch of the recipe; `random` takes the N of the 4N rotated images at `order` (2.1)."""
    if o["batches"] != "random":
        return BATCHES[o["batches"]](images)
    rotated, labels = all_rotations(images)
    return rotated[order], labels[order]


# --- GAN, SSGAN, MSGAN on the standard base -----------------------------------------------------------


def gan(player, nets, x, d, t, o):
    """The game and, for D with a weight, lambda mean (sqrt(1e-4 + |grad|^2) - 1)^2 as in compare_gan's penalty_lib."""
    fake = nets.generate(d["z"])
    terms = {"game": game_value(player, nets.logit(x), nets.logit(fake), o)}
    if player == "discriminator" and o.get("lambda_gp"):
        slopes = np.sqrt(1e-4 + np.sum(nets.logit_gradient(x + d["share"] * (fake - x)) ** 2, axis=1))
        terms["penalty"] = o["lambda_gp"] * np.mean((slopes - 1) ** 2)
    return terms


def game_value(player, real, fake, o):
    if o["game"] == "non_saturating":
        if player == "generator":
            return np.mean(-np.log(sigmoid(fake)))
        return np.mean(-np.log(sigmoid(real))) + np.mean(-np.log(1 - sigmoid(fake)))
    if player == "generator":
        return -np.mean(fake)
    return np.mean(np.maximum(0, 1 - real)) + np.mean(np.maximum(0, 1 + fake))


def wgan_gp(player, nets, x, d, t, o):
    """mean D(G(z)) - mean D(x) + lambda mean (|grad|_2 - 1)^2; -mean D(G(z))."""
    fake = nets.generate(d["z"])
    if player == "generator":
        return {"game": -np.mean(nets.logit(fake))}
    gradient = nets.logit_gradient(x + d["share"] * (fake - x))
    slope = np.linalg.norm(gradient, axis=1)
    game = np.mean(nets.logit(fake)) - np.mean(nets.logit(x))
    return {"game": game, "penalty": o["lambda_gp"] * np.mean((slope - 1) ** 2)}


def ssgan(player, nets, x, d, t, o):
    """L_D = game + w_d CE(rotation | real); L_G = game + w_g CE(rotation | fake)."""
    images, weight = (x, "weight_d") if player == "discriminator" else (nets.generate(d["z"]), "weight_g")
    rotated_images, labels = batch(images, o, d.get("order"))
    rotation = o[weight] * cross_entropy(nets.classes(rotated_images), labels)
    return gan(player, nets, x, d, t, o) | {"rotation": rotation}


def msgan(player, nets, x, d, t, o):
    return gan(player, nets, x, d, t, o) | multi_class(player, nets, x, d, o)


def multi_class(player, nets, x, d, o):
    """MSGAN's task, class 4 for fakes, from probabilities p: each mean is over the rotated images of the recipe.

    D, Eq. 8: -E_real log p_r - E_fake log p_4; released: -E log p_class over N of 4N rotated real and N upright fakes.
    G, with the ratio l(v) = E_v log p_r - E_v log p_4: Eq. 9 -l(fake); Eq. 34 |l(fake) - l(real)|; released the same
    without the terms of class 4.
    """
    fake = nets.generate(d["z"])
    if player == "discriminator":
        if o["fake_class"] == "upright":
            images, labels = all_rotations(x)
            images, labels = np.concatenate([images, fake]), np.concatenate([labels, np.full(len(fake), 4)])
            return {"task": -o["weight_d"] * log_probability(nets, images[d["order"]], labels[d["order"]])}
        rotated, labels = batch(x, o, d.get("order"))
        rotated_fake, _ = batch(fake, o, d.get("order"))
        fakes = np.full(len(rotated_fake), 4)
        return {
            "rotation": -o["weight_d"] * log_probability(nets, rotated, labels),
            "fake_class": -o["weight_d"] * log_probability(nets, rotated_fake, fakes),
        }
    if o["weight_g"] == 0:
        return {}
    of_rotation, of_class_4 = {}, {}
    for kind, images in (("fake", fake), ("real", x)):
        rotated, labels = batch(images, o, d.get("order"))
        of_rotation[kind] = log_probability(nets, rotated, labels)
        of_class_4[kind] = 0 if o["generator_loss"] == "released" else log_probability(nets, rotated, labels * 0 + 4)
    ratio = {kind: of_rotation[kind] - of_class_4[kind] for kind in of_rotation}
    value = -ratio["fake"] if o["generator_loss"] == "eq9" else abs(ratio["fake"] - ratio["real"])
    return {"task": o["weight_g"] * value}


def log_probability(nets, images, labels):
    return -cross_entropy(nets.classes(images), labels)


# --- conditional GAN, PacGAN ----------------------------------------------------------------------------


def conditional_gan(player, nets, x, d, t, o):
    """The game on D(x, y) = psi(f(x)) + f(x) V_y, with the images' labels and drawn ones."""
    fake = nets.generate(d["z"], d["y"])
    return {"game": game_value(player, nets.logit(x, d["labels"]), nets.logit(fake, d["y"]), o)}


def pacgan(player, nets, x, d, t, o):
    """The game on packs of m neighbours, stacked along their channels."""
    fake = nets.generate(d["z"])
    return {"game": game_value(player, nets.logit(packs(x, o)), nets.logit(packs(fake, o)), o)}


def packs(images, o):
    m = o["packing"]
    return np.stack([np.concatenate(images[i : i + m]) for i in range(0, len(images), m)])


# --- the self-labelling GAN (4.2) -----------------------------------------------------------------------


def self_labelling(player, nets, x, d, t, o):
    z, y = labelled_latents(nets.a["prototypes"], d, o)
    conditional = o["prototypes"] > 1
    fake = nets.generate(z, y if conditional and o["conditional_generator"] else None)
    n = round(o["other_losses"] * len(x))  # images in the losses without artificial labels
    if player == "classifier":
        terms = {"fake": cross_entropy(nets.classes(fake, "classifier"), y)}
        if o["labelled"]:
            known = np.flatnonzero(d["labels"][:n] >= 0)
            terms["labelled"] = cross_entropy(nets.classes(x[known], "classifier"), d["labels"][known])
        return terms
    own, weight = self_labels(nets, x, d, o)
    fake_weight = fake_weights(own, weight, y, o)
    conditional_fake_logit, fake_logit = nets.logit(fake, y if conditional else None), nets.logit(fake)
    if player == "generator":
        cost = {"hinge": lambda s: -s, "non_saturating": lambda s: -np.log(sigmoid(s))}[o["game"]]
        terms = {
            "game": np.mean(fake_weight * cost(conditional_fake_logit))
            + np.mean((1 - fake_weight[:n]) * cost(fake_logit[:n]))
        }
        if o["weight_classifier"]:
            terms["classifier"] = o["weight_classifier"] * cross_entropy(nets.classes(fake[:n], "classifier"), y[:n])
        return terms
    cost_real = {"hinge": lambda s: np.maximum(0, 1 - s), "non_saturating": lambda s: -np.log(sigmoid(s))}[o["game"]]
    cost_fake = {"hinge": lambda s: np.maximum(0, 1 + s), "non_saturating": lambda s: -np.log(1 - sigmoid(s))}[
        o["game"]
    ]
    terms = {
        "labelled": np.mean(weight * cost_real(nets.logit(x, own if conditional else None))),
        "fake": np.mean(fake_weight * cost_fake(conditional_fake_logit))
        + np.mean((1 - fake_weight[:n]) * cost_fake(fake_logit[:n])),
    }
    if o["uncertain"] == "unconditional":
        terms["unlabelled"] = np.mean((1 - weight[:n]) * cost_real(nets.logit(x[:n])))
    if o["lambda_gp"]:
        slope = np.linalg.norm(nets.logit_gradient(x[:n] + d["share"] * (fake[:n] - x[:n])), axis=1)
        terms["penalty"] = o["lambda_gp"] * np.mean((np.sqrt(slope**2 + 1e-4) - 1) ** 2)
    return terms


def fake_weights(own, weight, y, o):
    if o["fakes"] == "always" or o["labelled"] == 1:
        return np.ones(len(y))
    if o["fakes"] == "as_real":
        return np.full(len(y), np.mean(weight))
    return np.array([min(1, np.sum(weight[own == label]) / np.sum(y == label)) for label in y])


def labelled_latents(prototypes, d, o):
    """Latents and the number of their prototype: drawn with it, or the nearest."""
    if o["latent_label"] == "mixture":
        return np.stack([prototypes[y] + e for y, e in zip(d["y"], d["z"], strict=True)]), d["y"]
    distance = {
        "euclidean": lambda z, c: np.sqrt(np.sum((z - c) ** 2)),
        "cosine": lambda z, c: -z @ c / np.linalg.norm(z) / np.linalg.norm(c),
    }[o["distance"]]
    return d["z"], np.array([np.argmin([distance(z, c) for c in prototypes]) for z in d["z"]])


def self_labels(nets, x, d, o):
    """Label and weight of each real image: the manual label if there is one, else that of the moving average."""
    labels, weights = [], []
    for i, logits in enumerate(nets.classes(x, "teacher.module")):
        p = np.exp(logits) / np.sum(np.exp(logits))
        label, sure = np.argmax(p), np.max(p)
        weight = 0.0 if sure <= o["threshold"] else sure if o["weighting"] == "confidence" else 1.0
        if o["labelled"] and d["labels"][i] >= 0:
            label, weight = d["labels"][i], 1.0
        labels.append(label)
        weights.append(weight)
    return np.array(labels), np.array(weights)


# --- SSGAN-LA and the methods it is compared with (2.4) ---------------------------------------------


def dagan(player, nets, x, d, t, o):
    """The game on rotated images, by one real/fake logit."""
    return rotated_game(player, lambda images, labels: nets.logit(images), nets, x, d, o)


def dagan_md(player, nets, x, d, t, o):
    """The game on rotated images, by logit r of an image rotated r times."""
    return rotated_game(player, lambda images, labels: nets.classes(images)[range(len(labels)), labels], nets, x, d, o)


def rotated_game(player, score, nets, x, d, o):
    real = score(*batch(x, o))
    fake = score(*batch(nets.generate(d["z"]), o))
    return {"game": game_value(player, real, fake, o)}


def multi_hinge(scores, labels):
    """mean_{j != y} max(0, 1 - s_y + s_j), then the mean over images."""
    return np.mean(
        [[max(0, 1 - s[y] + s[j]) for j in range(len(s)) if j != y] for s, y in zip(scores, labels, strict=True)]
    )


def margin(scores, labels):
    """mean_{j != y} (s_j - s_y), then the mean over images."""
    return np.mean([[s[j] - s[y] for j in range(len(s)) if j != y] for s, y in zip(scores, labels, strict=True)])


def joint_labels(player, nets, x, d, o):
    """D: real 2r, fake 2r + 1. G: error(fake, 2r) - error(fake, 2r + 1)."""
    hinge = {"discriminator": multi_hinge, "generator": margin}[player]
    error = {"multi_hinge": hinge, "cross_entropy": cross_entropy}[o["form"]]
    fake, r_fake = batch(nets.generate(d["z"]), o)
    fake_scores = nets.classes(fake)
    if player == "generator":
        return {"joint_real": error(fake_scores, 2 * r_fake), "joint_fake": -error(fake_scores, 2 * r_fake + 1)}
    real, r_real = batch(x, o)
    return {"joint_real": error(nets.classes(real), 2 * r_real), "joint_fake": error(fake_scores, 2 * r_fake + 1)}


def ssgan_la(player, nets, x, d, t, o):
    return joint_labels(player, nets, x, d, o)


def ssgan_la_plus(player, nets, x, d, t, o):
    weight = {"discriminator": o["weight_d"], "generator": o["weight_g"]}[player]
    task = {name: weight * term for name, term in joint_labels(player, nets, x, d, o).items()}
    return gan(player, nets, x, d, t, o) | task


# --- Dist-GAN and its tasks, as MSGAN released them (2.1) ---------------------------------------------


def dist_gan(player, nets, x, d, t, o):
    fake = nets.generate(d["z"])
    if player == "encoder":
        return dist_gan_encoder(nets, x, d["z"], fake, o)
    if player == "generator":
        return {"score": abs(np.mean(sigmoid(nets.logit(x)) - sigmoid(nets.logit(fake))))}
    return dist_gan_discriminator(nets, x, fake, d, t, o)


def dist_gan_encoder(nets, x, z, fake, o):
    """L_E = mean (f(x) - f(x'))^2 + l_r (mean(f(x') - f(G(z))) - l_w mean(E(x) - z))^2."""
    f = nets.features
    reconstructed = nets.generate(nets.encode(x))
    lambda_w = np.sqrt(z.shape[1] / f(x).shape[1])
    distance = np.mean(f(reconstructed) - f(fake)) - lambda_w * np.mean(nets.encode(x) - z)
    return {
        "reconstruction": np.mean((f(x) - f(reconstructed)) ** 2),
        "distance": o["lambda_r"] * distance**2,
    }


def dist_gan_discriminator(nets, x, fake, d, t, o):
    log = o["loss"] == "log"
    real, rec, fooled = (nets.logit(v) for v in (x, nets.generate(nets.encode(x)), fake))
    w_real, w_rec = reconstruction_weights(t, o)
    if log:
        terms = {
            "real": w_real * np.mean(-np.log(sigmoid(real))),
            "reconstructed": w_rec * np.mean(-np.log(sigmoid(rec))),
            "fake": np.mean(-np.log(1 - sigmoid(fooled))),
        }
    else:
        s = {"hinge_sigmoid": sigmoid, "hinge_logit": lambda v: v}[o["loss"]]
        terms = {
            "real": -w_real * np.mean(np.minimum(0, -1 + s(real))),
            "reconstructed": -w_rec * np.mean(np.minimum(0, -1 + s(rec))),
            "fake": -np.mean(np.minimum(0, -1 - s(fooled))),
        }
    penalty = {"released": "plus" if log else "minus"}.get(o["penalty"], o["penalty"])
    if penalty != "off":
        sign = {"plus": 1, "minus": -1}[penalty]
        terms["penalty"] = sign * o["lambda_p"] * gradient_penalty(nets, x, fake, d["share"], o)
    return terms


def reconstruction_weights(t, o):
    """mu = clip(2 (0.1 t - 0.05), 0, 0.05), or 0 where the code keeps the weights constant (log)."""
    decaying = {"released": o["loss"] != "log", "constant": False, "decaying": True}[o["reconstruction"]]
    mu = np.clip(2 * (0.1 * t - 0.05), 0, 0.05) if decaying else 0.0
    return 0.95 + mu, 0.05 - mu


def gradient_penalty(nets, x, fake, share, o):
    """mean (slope - 1)^2 at share of the way from real to fake; slope by rms over pixels or L2 norm."""
    gradient = nets.logit_gradient((1 - share) * x + share * fake)
    squares = gradient**2
    slope = np.sqrt(squares.mean(1) if o["penalty_norm"] == "rms" else squares.sum(1))
    return np.mean((slope - 1) ** 2)


def dist_gan_ss(player, nets, x, d, t, o):
    """N of the 4N rotated images; G matches the errors of fake and real, at the same N of 4N."""
    terms = dist_gan(player, nets, x, d, t, o)
    if player == "discriminator":
        terms["task"] = o["weight_d"] * chosen_error(nets, x, d["order"])
    if player == "generator" and o["weight_g"]:
        error_on_fake = chosen_error(nets, nets.generate(d["z"]), d["order"])
        terms["task"] = o["weight_g"] * abs(error_on_fake - chosen_error(nets, x, d["order"]))
    return terms


def chosen_error(nets, images, order):
    rotated, labels = all_rotations(images)
    return cross_entropy(nets.classes(rotated[order]), labels[order])


def dist_gan_ms(player, nets, x, d, t, o):
    """Dist-GAN with MSGAN's task on N of the 4N rotated images."""
    terms = dist_gan(player, nets, x, d, t, o)
    return terms if player == "encoder" else terms | multi_class(player, nets, x, d, o | {"batches": "random"})


# --- classifiers without a generator ------------------------------------------------------------------


def one_vs_all(player, nets, x, d, t, o):
    """-mean [y = 0] log s + [y != 0] log (1 - s) in the first task; + weight CE(rotation | real)."""
    score, of_class = sigmoid(nets.logit(x)), d["labels"] == 0
    terms = {"task": -np.mean(np.where(of_class, np.log(score), np.log(1 - score)))}
    if o["rotation_weight"]:
        images, rotations = batch(x, o, d.get("order"))
        terms["rotation"] = o["rotation_weight"] * cross_entropy(nets.classes(images), rotations)
    return terms


def rotation_classifier(player, nets, x, d, t, o):
    """CE(rotation | real)."""
    images, rotations = batch(x, o, d.get("order"))
    return {"rotation": cross_entropy(nets.classes(images), rotations)}


def rotation_classifier_ms(player, nets, x, d, t, o):
    """CE(rotation | real) + CE(fifth class | the rotated images of the generator's class, or all of them)."""
    images, _ = batch(x, o, d.get("order"))
    generated = np.full(len(images), True)
    if o["fake_class"] is not None:
        tagged = np.broadcast_to(d["labels"].reshape(-1, 1, 1, 1), x.shape)
        generated = batch(tagged, o, d.get("order"))[0][:, 0, 0, 0] == o["fake_class"]
    fakes = images[generated]
    on_fakes = cross_entropy(nets.classes(fakes), np.full(len(fakes), 4)) if len(fakes) else 0.0
    return rotation_classifier(player, nets, x, d, t, o) | {"fake_class": on_fakes}


LOSSES = {
    "gan": gan,
    "wgan_gp": wgan_gp,
    "ssgan": ssgan,
    "msgan": msgan,
    "dagan": dagan,
    "dagan_md": dagan_md,
    "ssgan_la": ssgan_la,
    "ssgan_la_plus": ssgan_la_plus,
    "dist_gan": dist_gan,
    "dist_gan_ss": dist_gan_ss,
    "dist_gan_ms": dist_gan_ms,
    "conditional_gan": conditional_gan,
    "self_labelling": self_labelling,
    "pacgan": pacgan,
    "one_vs_all": one_vs_all,
    "rotation_classifier": rotation_classifier,
    "rotation_classifier_ms": rotation_classifier_ms,
}


# --- TensorFlow's SAME padding ------------------------------------------------------------------------


def same_conv(x, weight, bias, stride):
    """Cross-correlation with TensorFlow's SAME padding as its documentation states it, pixel by pixel.

    Total padding is max(k - s, 0) when s divides the size n, else max(k - n mod s, 0); the smaller half
    comes first. x (N, C, n, n), weight (O, C, k, k), bias (O,).
    """
    n, k = x.shape[2], weight.shape[2]
    total = max(k - (stride if n % stride == 0 else n % stride), 0)
    before, after = total // 2, total - total // 2
    padded = np.pad(x, [(0, 0), (0, 0), (before, after), (before, after)])
    size = int(np.ceil(n / stride))
    out = np.empty((len(x), len(weight), size, size))
    for i in range(size):
        for j in range(size):
            patch = padded[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            out[:, :, i, j] = np.tensordot(patch, weight, axes=([1, 2, 3], [1, 2, 3])) + bias
    return out
