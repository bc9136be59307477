"""A folder of images: `train/<class>/*.jpg`, with or without `val/` and `test/`; or `<class>/*.jpg` and no split."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nas.data._files import folder, one_line, visible
from nas.data._split import check_share, hold_out, images
from nas.dataset import Array, Dataset, Reading, Source, three_ways
from nas.ops import Scalar, Shape

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
GREY = ("L", "1")
MODES = (*GREY, "RGB", "RGBA", "P", "PA", "LA", "CMYK", "YCbCr")  # 8 bits a channel; others would be cut off
SPLITS = {"train": "train(ing)?", "validation": "val|valid|validation|dev", "test": "test(s|ing)?"}
SUFFIX = r"([ _-]?(set|data|images|split))?[ _-]?\d*"  # of the folder of a split
READ = '''
def read(path):
    """The pixels of an image, (1, channels, height, width)."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        if image.mode not in {modes}:
            raise ValueError(f"pixels of mode {{image.mode}} are not 8 bits a channel")
        mode, size = CONFIG["reading"]["mode"], CONFIG["reading"]["size"]
        if size:  # that of the shorter side, of which the centre is cut out; else the image is taken as it is
            image.draft(mode, (2 * size, 2 * size))
        image = image.convert(mode)
        if size:
            image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    pixels = np.array(image)
    return pixels.reshape(1, *pixels.shape[:2], -1).transpose(0, 3, 1, 2)
'''
USAGE = "--data imagefolder:DIR takes a folder with train/<class>/*.jpg, or with <class>/*.jpg"


class Files(NamedTuple):
    """The images of one split and their class numbers (n,)."""

    paths: list[Path]
    y: Array


class ImageFolder(Source):
    """`imagefolder:DIR`. Samples (channels, height, width) in 0..1: one channel where every image is grey, else RGB.

    A split is what its folder says, `Training` and `test_set` too. Where there is no validation folder it is held out
    of the training images, where there is no test folder it is half of the validation images, where there is neither,
    nor a folder train, all images are split 60/20/20: always stratified, by the seed.

    Images are mirrored in training unless the name of a class is one character, a number, or says left or right.

    size: images are scaled to it (bicubic, by the shorter side) and their centre is cut out; 0: all have one size.
    validation: the share of the training images that is held out where there is a test folder and no validation one.
    """

    def __init__(self, path: str = "", *, size: int = 0, validation: float = 0.1) -> None:
        super().__init__(path)
        if size < 0:
            raise ValueError(f"size must be a number of pixels, or 0 for that of the images, got {size}")
        self.size = size
        self.validation = check_share(validation)

    def task(self) -> tuple[Shape, int]:
        return self._shape, len(self._found[0])

    @cached_property
    def augmentations(self) -> Mapping[str, Scalar]:  # type: ignore[override]  # known once the folder is read
        side = min(self._shape[1:])
        step = max(1, round(side / 16))
        flip = {} if any(map(_mirrored_is_another, self._found[0])) else {"flip": True}
        return {**flip, "shift": min(2 * step, side - 1), "cutout": max(1, side // 4)}

    def load(self, seed: int) -> Dataset:
        classes, splits = self._found
        read = {name: (self._pixels(files.paths), files.y) for name, files in splits.items()}
        pixels, y = read.get("train") or read["all"]
        if "train" not in read or len(read) == 1:
            parts = [images(pixels, y, rows) for rows in three_ways(y, seed, self.path)]
        elif "validation" not in read:
            rows = hold_out(y, self.validation, seed, f"{self.path}, validation")
            parts = [*(images(pixels, y, some) for some in rows), images(*read["test"])]
        elif "test" not in read:
            held = hold_out(read["validation"][1], 0.5, seed, f"{self.path}, test")
            parts = [images(pixels, y), *(images(*read["validation"], some) for some in held)]
        else:
            parts = [images(*read[name]) for name in SPLITS]
        facts = {"mode": self._mode, "size": self.size}
        size = " of any size" if self.size else f" of {self._shape[2]} x {self._shape[1]} pixels"
        reading = Reading(READ.format(modes=MODES), "image.jpg", f"is an image{size}", facts)
        return Dataset(self.path, parts[0], parts[1], parts[2], classes, pixels=True, reading=reading)

    @cached_property
    def _found(self) -> tuple[tuple[str, ...], dict[str, Files]]:
        """The classes, and the files of each split; of data without one, those of `all`."""
        root = folder(self.path, USAGE)
        names = {split: _named(root, pattern) for split, pattern in SPLITS.items()}
        if not names["train"] and (some := names["validation"] or names["test"]):
            raise ValueError(f"{root} has a folder {some} and no folder train; rename it if it is a class; {USAGE}")
        folders = {split: root / name for split, name in names.items() if name} if names["train"] else {"all": root}
        listed = {split: _classes(parent) for split, parent in folders.items()}
        classes = next(iter(listed.values()))
        for entry in filter(Path.is_dir, visible(root)) if names["train"] else ():
            if entry not in folders.values() and {inside.name for inside in visible(entry)} >= classes.keys():
                raise ValueError(f"{entry} has the classes of {folders['train']}; call it val or test, or move it away")
        for split, files in listed.items():
            if odd := sorted(classes.keys() ^ files.keys()):
                first = folders["train"]
                where = folders[split] if odd[0] in files else first
                raise ValueError(
                    f"{first} has {len(classes)} classes, {folders[split]} has {len(files)}: "
                    f"{odd[0]!r} is in {where} alone"
                )
        splits = {
            split: Files([p for paths in files.values() for p in paths], _numbers(files))
            for split, files in listed.items()
        }
        return tuple(classes), splits

    @cached_property
    def _shape(self) -> Shape:
        """Of one image, from the heads of the files: of the first, and of all only as long as they are grey."""
        everything = [path for files in self._found[1].values() for path in files.paths]
        heads = map(_head, everything)
        with _quiet():
            mode, (width, height) = next(heads)
            grey = mode in GREY and all(mode in GREY for mode, _ in heads)
        return (1 if grey else 3, self.size or height, self.size or width)

    @property
    def _mode(self) -> str:
        return "L" if self._shape[0] == 1 else "RGB"

    def _pixels(self, paths: list[Path]) -> Array:
        """The images, bytes (n, channels, height, width)."""
        channels, height, width = self._shape
        pixels = np.empty((len(paths), channels, height, width), np.uint8)
        for row, path in zip(pixels, paths, strict=True):
            with _quiet():
                image = _decoded(path, self._mode, self.size)
            if image.shape[:2] != (height, width):
                first = next(iter(self._found[1].values())).paths[0]
                raise ValueError(
                    f"{path} is {image.shape[1]} x {image.shape[0]} pixels, and {first} is {width} x {height}; "
                    f"give a size for all, such as --data imagefolder:{self.path},size=32"
                )
            row[:] = image.reshape(height, width, channels).transpose(2, 0, 1)
        return pixels


def _named(root: Path, pattern: str) -> str:
    """The folder in `root` of such a name, in capitals or not; '' where there is none."""
    entries = [entry.name for entry in visible(root) if entry.is_dir()]
    found = [name for name in entries if re.fullmatch(f"({pattern}){SUFFIX}", name, re.IGNORECASE)]
    if len(found) > 1:
        raise ValueError(f"{root} has two folders of one split, {found[0]} and {found[1]}; keep one of them there")
    return found[0] if found else ""


def _classes(parent: Path) -> dict[str, list[Path]]:
    """The images of each class folder, of folders inside it too."""
    found = {}
    for entry in filter(Path.is_dir, visible(parent)):
        paths = sorted(p for p in entry.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        if not paths:
            raise ValueError(f"{entry} has no images; known endings: {', '.join(SUFFIXES)}")
        found[entry.name] = paths
    if len(found) < 2:
        raise ValueError(f"{parent} must have at least 2 class folders, got {list(found)}; {USAGE}")
    return found


def _numbers(files: Mapping[str, Sequence[Path]]) -> Array:
    """The class number of each file, int64 (n,)."""
    return np.repeat(np.arange(len(files)), [len(paths) for paths in files.values()])


def _mirrored_is_another(name: str) -> bool:
    """Whether the mirror image of a class may not be of that class: characters, traffic signs by number, directions."""
    return len(name) == 1 or name.isdigit() or bool({"left", "right"} & set(re.findall("[a-z]+", name.lower())))


def _head(path: Path) -> tuple[str, tuple[int, int]]:
    """Mode, width and height of an image that is not decoded."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.mode, image.size
    except Exception as error:  # Pillow's readers raise whatever a damaged file makes them stumble over
        raise _damaged(path, error) from None


def _decoded(path: Path, mode: str, size: int) -> Array:
    """An image in this mode, bytes (height, width) or (height, width, 3)."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            found = image.mode
            if found in MODES:
                return _scaled(image, mode, size)
    except Exception as error:  # Pillow's readers raise whatever a damaged file makes them stumble over
        raise _damaged(path, error) from None
    raise ValueError(f"{path} has pixels of mode {found}, which are not 8 bits a channel; known: {', '.join(MODES)}")


def _scaled(image: Any, mode: str, size: int) -> Array:
    """What an opened image shows, transparency dropped, its centre of `size` where that is not 0."""
    from PIL import Image, ImageOps

    if size:
        image.draft(mode, (2 * size, 2 * size))  # a JPEG decoder skips what scaling would throw away
    image = image.convert(mode)
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC) if size else image)


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns of oddities that change no pixel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is damaged or not an image: {one_line(error)}")
