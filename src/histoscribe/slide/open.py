"""Open any picture of a section lazily: what kind of file it is, which reader reads it, how many microns a pixel is.

The kind is recognised by the file's first bytes, not by its name. The tag Orientation of TIFF and of EXIF, in JPEG and
PNG, is obeyed, as programs that show pictures do, and what was done is noted: pixel (column 0, row 0) is the upper left
one as the picture is seen. OpenSlide's formats have no such tag.
"""

from math import isfinite
from pathlib import Path
from stat import S_ISREG
from typing import Protocol, cast

from histoscribe.errors import ConfigError, InputError, listing, nearest
from histoscribe.slide.damage import Damage
from histoscribe.slide.image import PixelSource, SlideImage
from histoscribe.slide.turned import TurnedSource
from histoscribe.slide.turns import AS_IT_IS, Turn
from histoscribe.store.received import is_there

IMAGE_SUFFIXES = (".tif", ".tiff", ".btf", ".svs", ".ndpi", ".scn", ".mrxs", ".bif", ".jpg", ".jpeg", ".png")

_READABLE = "JPEG, PNG, TIFF, OME-TIFF, SVS or another slide format that OpenSlide reads"

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# kinds that people try: the bytes they begin with, where, and what they are
_OTHER_KINDS = (
    (0, b"%PDF", "a PDF document"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"BM", "a BMP picture"),
    (8, b"WEBP", "a WebP picture"),
    (4, b"ftyp", "a HEIC or AVIF picture, or a film"),
    (4, b"jP  ", "a JPEG 2000 picture"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\x89HDF", "an HDF5 file (h5, h5ad, Imaris)"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"PK\3\4", "a zip archive or an Office document"),
    (0, b"<?xml", "an XML or SVG text"),
    (0, b"<!DOCTYPE", "a web page, as saved when a download needs a login"),
    (0, b"<html", "a web page, as saved when a download needs a login"),
    (0, b"version https://git-lfs", "a Git LFS pointer instead of the file itself"),
)


class FileSource(PixelSource, Protocol):
    """Pixels of a file, which can be looked through for damage; `turn` shows them upright."""

    turn: Turn

    def inspect(self) -> None:
        """Check all that reading would check, so that its damage is known."""


def open_image(path: Path, *, mpp: float | None = None, allow_damaged: bool = False) -> SlideImage:
    """Open a picture of a section; reads the header only.

    Recognisable damage is refused and its place reported: at opening what the header shows, and at the first read of a
    strip, tile or picture what its decoder or its checksum shows.

    TIFF and slide formats are read window by window. JPEG and PNG can only be decoded whole; that happens at the first
    read. Grey, palette, transparent, CMYK and 16-bit pictures are given as 8-bit RGB. `read` may be called from
    several threads.

    Parameters
    ----------
    path
        JPEG, PNG, TIFF, BigTIFF, OME-TIFF, SVS, or what OpenSlide reads.
    mpp
        Microns per pixel at full resolution, where the user knows it; else what the file says, if it is plausible
        (0.05 to 20), else None.
    allow_damaged
        Whether to read a damaged picture all the same, as far as it can be decoded. It is then checked whole at
        opening, which takes as long as reading it, and its `notes` say what was found; a strip or tile that cannot be
        decoded is white, as glass is.

    Raises
    ------
    InputError
        Where the file is missing, empty, damaged, no picture, too small, a decompression bomb, or holds something else
        than one colour picture.
    ConfigError
        Where `mpp` is not a positive number.

    Examples
    --------
    >>> from pathlib import Path
    >>> from histoscribe import open_image
    >>> from histoscribe.phantom import make_phantom, write_tiff
    >>> path = Path("section.tif")
    >>> thumbnail = write_tiff(make_phantom(size_um=400.0).image, path, mpp=0.5, max_side=100)
    >>> image = open_image(path)
    >>> image.shape, image.mpp, image.mpp_by_source
    ((800, 800), 0.5, {'TIFF resolution tag': 0.5})
    """
    path = Path(path)
    if mpp is not None and not (isfinite(mpp) and mpp > 0):
        raise ConfigError(
            "microns per pixel must be a positive number", where="mpp", found=mpp, fix="for example mpp=0.5"
        )
    head = _first_bytes(path)
    source, by_source, damage = _open_kind(path, head, allow_damaged)
    if allow_damaged:
        source.inspect()
    mpp = mpp or next(iter(by_source.values()), None)
    notes, pixels = damage.notes(), cast("PixelSource", source)
    if source.turn != AS_IT_IS:
        notes, pixels = (*notes, _turned_note(path, source.turn)), TurnedSource(source, source.turn)
    return SlideImage(pixels, mpp=mpp, path=path, mpp_by_source=by_source, notes=notes, turn=source.turn)


def _turned_note(path: Path, turn: Turn) -> str:
    return f"{path.name} is read {turn.name}, as its tag Orientation asks for"


def _open_kind(path: Path, head: bytes, allowed: bool) -> tuple[FileSource, dict[str, float], Damage]:
    if head.startswith(b"\x89PNG\r\n\x1a\n") or head.startswith(b"\xff\xd8\xff"):
        from histoscribe.slide.formats_raster import open_raster

        damage = Damage(path, "PNG" if head.startswith(b"\x89PNG") else "JPEG", allowed)
        return *open_raster(path, damage), damage

    from histoscribe.slide.formats_openslide import detect_vendor, open_slide

    vendor = detect_vendor(path)
    if vendor is not None:
        damage = Damage(path, f"{vendor} slide", allowed)
        return *open_slide(path, vendor, damage=damage, is_tiff=head.startswith(_TIFF)), damage
    if head.startswith(_TIFF):
        from histoscribe.slide.formats_tiff import open_tiff

        damage = Damage(path, "TIFF", allowed)
        return *open_tiff(path, damage), damage
    raise InputError(
        "this file is no image that histoscribe reads",
        where=path,
        expected=_READABLE,
        found=_describe(head, path.suffix),
        fix="export the section's picture as TIFF, PNG or JPEG and give that file",
    )


def _first_bytes(path: Path) -> bytes:
    is_there(path)  # refuses pipes and devices, which never end; missing files are reported below
    if path.is_dir():
        images = [child.name for child in sorted(path.iterdir()) if child.suffix.lower() in IMAGE_SUFFIXES]
        raise InputError(
            "this is a folder, not an image",
            where=path,
            expected=f"one file: {_READABLE}",
            found=f"a folder with the images: {listing(images)}",
            fix="give the image file itself",
        )
    try:
        if not S_ISREG(path.stat().st_mode):  # a pipe would be waited for, a device read, without end
            raise InputError(
                "this is a pipe, a socket or a device, not a file",
                where=path,
                expected=_READABLE,
                fix="save the image as a file and give that",
            )
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError as error:
        beside = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(
            "there is no such file",
            where=path,
            expected="the section's image",
            found=f"a folder with {len(beside):,} other files" if beside else "no such folder, or an empty one",
            fix=f"check the path; {nearest(path.name, beside)}" if beside else "check the path",
        ) from error
    except OSError as error:
        raise InputError(
            "the file cannot be read",
            where=path,
            expected="a file that you may read",
            found=error.strerror,
            fix="check the file's permissions and that its disk is connected",
        ) from error
    if not head:
        raise InputError(
            "the file is empty",
            where=path,
            expected=_READABLE,
            found="0 bytes",
            fix="copy or download the file again",
        )
    return head


def _describe(head: bytes, suffix: str) -> str:
    for offset, signature, kind in _OTHER_KINDS:
        if head[offset:].lower().startswith(signature.lower()):
            return kind
    if all(byte >= 32 or byte in b"\t\r\n\f" for byte in head):
        first_line = head.decode("utf-8", "replace").splitlines()[0][:60]
        return f"a text file that begins {first_line!r}"
    return f"an unknown kind of file{f' called {suffix!r}' if suffix else ' without a suffix'}"
