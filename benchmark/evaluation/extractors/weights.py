"""Published weights of evaluation networks: where to find, download and import them.

Each entry pins one published file by its SHA-256; any other file is refused, because values of another network compare
with nothing published.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError
from benchmark.core.files import file_checksum
from benchmark.data.raw.checksums import find
from benchmark.data.raw.download import Download, ProgressCallback, download
from benchmark.data.raw.import_files import import_file


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A published file of weights.

    Attributes:
        name: its name in commands, and of its folder in the data directory.
        about: what it is, a noun phrase.
        needed_for: the metrics that need it.
        source: where it was published.
        licence: its licence.
        files: its file names; the first is the one that `fetch` writes.
        urls: where to download it, tried in order.
        sha256: its checksum.
        size: its size in bytes.
    """

    name: str
    about: str
    needed_for: str
    source: str
    licence: str
    files: tuple[str, ...]
    urls: tuple[str, ...]
    sha256: str
    size: int

    def find(self, data_dir: Path) -> Path | None:
        """The file, in `data_dir/name`, in `data_dir` or in the cache of torch.hub; None if it is in none of them."""
        return find(data_dir, (self.name, "."), self.files) or find(_torch_cache(), (".",), self.files)

    def missing_message(self, data_dir: Path) -> str | None:
        """What to do if the file is missing; None if it is found."""
        if self.find(data_dir):
            return None
        command, where = "python -m benchmark datasets", f"--data-dir {data_dir}"
        return (
            f"weights {self.name}: {' or '.join(self.files)} not found under {data_dir} or in {_torch_cache()}\n"
            f"Type:\n  {command} fetch {self.name} {where}\n    downloads them ({self.size / 1e6:,.0f} MB)\n"
            f"  {command} import {self.name} PATH {where}\n    takes them from where you have them\n"
            f"or put {self.urls[0]}\ninto {data_dir / self.name}"
        )

    def verified(self, path: Path) -> Path:
        """The path of a file. Raises UserError if it is not the published one."""
        try:
            sha256 = file_checksum(path, "sha256")
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}; get it again") from None
        if sha256 != self.sha256:
            raise UserError(
                f"{path}: is not the published {self.files[0]}: SHA-256 {sha256}, expected {self.sha256};"
                f" move it away and type\n  python -m benchmark datasets fetch {self.name}"
            )
        return path

    def prepare(self, data_dir: Path) -> Path:
        """The path of the verified file. Raises UserError if it is missing or not the published one."""
        path = self.find(data_dir)
        if path is None:
            raise UserError(self.missing_message(data_dir) or f"{self.name}: the file vanished from {data_dir}")
        return self.verified(path)

    def load(self, path: Path) -> dict[str, Any]:
        """The tensors of a file by name, on the CPU. Only tensors are unpickled."""
        import torch

        state: dict[str, Any] = torch.load(self.verified(path), map_location="cpu", weights_only=True)
        return state

    def fetch(self, data_dir: Path, progress: ProgressCallback | None = None) -> Path | None:
        """Download the file into its folder of the data directory; returns None if it was found.

        Raises:
            UserError: the file found is not the published one, or the download fails.
        """
        if existing := self.find(data_dir):
            self.verified(existing)
            return None
        file = Download(self.files[0], self.sha256, self.urls, "sha256")
        return download(file, data_dir / self.name, progress)

    def import_(self, sources: Sequence[Path], data_dir: Path, link: bool = False) -> list[Path]:
        """Copy or hard-link the file from files and folders into its folder; returns the new paths.

        Raises:
            UserError: it is not found, or is not the published one; then nothing is written.
        """
        target = data_dir / self.name / self.files[0]
        return import_file(target, self.files, sources, lambda: self.verified(target), link)

    def state(self, data_dir: Path) -> dict[str, Any]:
        """The entry of the command `datasets`. A file of another size is `corrupt`; the checksum is not computed."""
        path = self.find(data_dir)
        complete = path is not None and path.stat().st_size == self.size
        return {
            "about": self.about,
            "size": f"{self.size / 1e6:,.0f} MB",
            "licence": self.licence,
            "source": self.source,
            "needed_for": self.needed_for,
            "state": "missing" if path is None else "found" if complete else "corrupt",
            "how_to_get": self.missing_message(data_dir) or "",
        }


def _torch_cache() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


INCEPTION = Weights(
    name="inception",
    about="the Inception network of 2015-12-05, which defines FID, KID and Inception Score",
    needed_for="FID, KID, Inception Score",
    source="torch-fidelity's and pytorch-fid's port of http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz",
    licence="Apache 2.0",
    files=("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth"),
    urls=(
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    ),
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    size=95_628_359,
)

INCEPTION_TORCHVISION = Weights(
    name="inception_torchvision",
    about="torchvision's Inception v3, with which SSGAN-LA's code evaluates",
    needed_for="the protocol of SSGAN-LA, whose distance is not FID",
    source="torchvision's Inception_V3_Weights.IMAGENET1K_V1",
    licence="BSD 3-Clause (torchvision)",
    files=("inception_v3_google-0cc3c7bd.pth",),
    urls=("https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",),
    sha256="0cc3c7bd75056d25e46cba549dc184522069b81e9787eff6df84f397bd52a5ef",
    size=108_949_747,
)

VGG16 = Weights(
    name="vgg16",
    about="VGG-16 trained on ImageNet, with which precision and recall were published",
    needed_for="precision, recall",
    source="torchvision's VGG16_Weights.IMAGENET1K_V1",
    licence="none stated for the weights; torchvision's code is BSD 3-Clause",
    files=("vgg16-397923af.pth",),
    urls=("https://download.pytorch.org/models/vgg16-397923af.pth",),
    sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    size=553_433_881,
)

WEIGHTS = {weights.name: weights for weights in (INCEPTION, INCEPTION_TORCHVISION, VGG16)}
