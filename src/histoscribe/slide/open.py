"""Open any picture of a section lazily: what kind of file it is, which reader reads it, how many microns a pixel is.

The kind is told by the file's first bytes, not by its name. Pixel (column 0, row 0) is the first one stored: EXIF and
TIFF orientation tags are not applied, because programs that make the coordinates of spots do not apply them either.
"""

from math import isfinite
from pathlib import Path

from histoscribe.errors import ConfigError, InputError, listing, nearest
from histoscribe.slide.image import PixelSource, SlideImage

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


def open_image(path: Path, *, mpp: float | None = None) -> SlideImage:
    """Open a picture of a section; reads the header only.

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

    Raises
    ------
    InputError
        Where the file is missing, empty, damaged, no picture, too small, a decompression bomb, or holds something else
        than one colour picture.
    ConfigError
        Where `mpp` is not a positive number.
    """
    path = Path(path)
    if mpp is not None and not (isfinite(mpp) and mpp > 0):
        raise ConfigError(
            "microns per pixel must be a positive number", where="mpp", found=mpp, mend="for example mpp=0.5"
        )
    head = _first_bytes(path)
    source, by_source = _open_kind(path, head)
    return SlideImage(source, mpp=mpp or next(iter(by_source.values()), None), path=path, mpp_by_source=by_source)


def _open_kind(path: Path, head: bytes) -> tuple[PixelSource, dict[str, float]]:
    if head.startswith(b"\x89PNG\r\n\x1a\n") or head.startswith(b"\xff\xd8\xff"):
        from histoscribe.slide.formats_raster import open_raster

        return open_raster(path, "PNG" if head.startswith(b"\x89PNG") else "JPEG")

    from histoscribe.slide.formats_openslide import detect_vendor, open_slide

    vendor = detect_vendor(path)
    if vendor is not None:
        return open_slide(path, vendor)
    if head.startswith(_TIFF):
        from histoscribe.slide.formats_tiff import open_tiff

        return open_tiff(path)
    raise InputError(
        "this file is no image that histoscribe reads",
        where=path,
        expected=_READABLE,
        found=_describe(head, path.suffix),
        mend="export the section's picture as TIFF, PNG or JPEG and give that file",
    )


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        images = [child.name for child in sorted(path.iterdir()) if child.suffix.lower() in IMAGE_SUFFIXES]
        raise InputError(
            "this is a folder, not an image",
            where=path,
            expected=f"one file: {_READABLE}",
            found=f"a folder with the images: {listing(images)}",
            mend="give the image file itself",
        )
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError as error:
        beside = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(
            "there is no such file",
            where=path,
            expected="the section's image",
            found=f"a folder with {len(beside):,} other files" if beside else "no such folder, or an empty one",
            mend=f"check the path; {nearest(path.name, beside)}" if beside else "check the path",
        ) from error
    except OSError as error:
        raise InputError(
            "the file cannot be read",
            where=path,
            expected="a file that you may read",
            found=error.strerror,
            mend="check the file's permissions and that its disk is connected",
        ) from error
    if not head:
        raise InputError(
            "the file is empty",
            where=path,
            expected=_READABLE,
            found="0 bytes",
            mend="copy or download the file again",
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
