"""What a written report is: figures and a page that stands alone, the same every time, for any section."""

from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
from PIL import Image

from histoscribe.report import write_report

FIGURES = {"he", "domains", "confidence", "components", "embedding", "preflight", "stability", "sizes"}


class Page(HTMLParser):
    """What a browser would load or jump to."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.jumps, self.ids, self.tags, self.images, self.headings = [], set(), set(), set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.add(tag)
        self.loaded += [value for key, value in attrs if key in {"src", "srcset", "data", "poster", "action"}]
        href = given.get("href")
        if href and href.startswith("#"):
            self.jumps.add(href[1:])
        elif href:
            self.loaded.append(href)
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "img":
            self.images.append(given)
        if tag in {"h1", "h2", "h3"}:
            self.headings.append(int(tag[1]))


def text_of(folder, contents):
    return write_report(folder, contents)[-1].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def full(tmp_path_factory, contents_of):
    folder = tmp_path_factory.mktemp("report")
    return folder, write_report(folder, contents_of())


@pytest.fixture(scope="module")
def page(full):
    return Page(full[1][-1].read_text(encoding="utf-8"))


def test_all_figures_are_written_and_the_page_comes_last(full):
    folder, files = full
    assert {path.stem for path in files[:-1]} == FIGURES
    assert files[-1] == folder / "report.html"
    assert sorted(files) == sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_page_loads_nothing_from_outside(full, page):
    assert all(source.startswith("data:image/") for source in page.loaded)
    text = full[1][-1].read_text(encoding="utf-8")
    assert "url(" not in text
    assert "@import" not in text


def test_the_page_holds_no_script_and_forbids_any(full, page):
    assert not page.tags & {"script", "iframe", "object", "embed", "link", "base"}
    assert "default-src 'none'" in full[1][-1].read_text(encoding="utf-8")


def test_every_figure_is_in_the_page_with_a_text_for_the_blind(page):
    assert len(page.images) == len(FIGURES)
    assert all(len(image["alt"]) > 20 for image in page.images)


def test_every_image_states_its_size_so_that_the_page_does_not_jump(full, page):
    widths = {Image.open(path).size for path in full[1][:-1]}
    assert {(int(image["width"]), int(image["height"])) for image in page.images} == widths


def test_headings_start_at_one_and_skip_no_level(page):
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))


def test_every_link_of_the_contents_leads_somewhere(page):
    assert page.jumps
    assert page.jumps <= page.ids


def test_the_same_contents_give_the_same_bytes(full, tmp_path, contents_of):
    again = write_report(tmp_path, contents_of())
    for first, second in zip(full[1], again, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_figures_carry_no_date_and_no_version_of_the_program(full):
    for path in full[1][:-1]:
        assert not set(Image.open(path).info) - {"dpi"}


def test_the_users_matplotlib_settings_change_nothing_and_come_back(full, tmp_path, contents_of):
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 20}):
        files = write_report(tmp_path, contents_of())
        assert matplotlib.rcParams["font.size"] == 30
    assert files[1].read_bytes() == full[1][1].read_bytes()


def test_the_order_of_rows_in_the_table_of_domains_changes_nothing(full, tmp_path, contents_of):
    turned = contents_of().domains.iloc[::-1]
    files = write_report(tmp_path, contents_of(domains=turned))
    assert files[1].read_bytes() == full[1][1].read_bytes()


def test_everything_from_the_data_is_escaped(tmp_path, contents_of):
    evil = "<script>alert(1)</script><img src=http://evil>"
    finding = {"name": evil, "level": "ok", "message": evil, "evidence": {evil: evil}, "fix": evil}
    text = text_of(
        tmp_path,
        contents_of(
            notes=(evil,),
            preflight={"findings": [finding], "mpp_by_source": {evil: 4.0}},
            evidence={"requested": None, "choice": {"chosen": 3, "rule": evil}, evil: [evil]},
            scores={"ari": {"score": 0.5, evil: 0.1}},
            record={
                "versions": {evil: evil},
                "configuration": {evil: {evil: evil}, "embed": {"encoder": {"name": evil, "licence": evil}}},
                "inputs": [{"path": evil, "bytes": 1, "sha256": evil}],
            },
        ),
    )
    page = Page(text)
    assert "script" not in page.tags
    assert len(page.images) == len(FIGURES) - 1  # no curve, so no figure of stability
    assert "&lt;script&gt;" in text


def test_genes_and_patients_with_html_in_their_names_are_harmless(tmp_path, section_of, contents_of):
    section = section_of(genes=("<script>x</script>", "B"))
    object.__setattr__(section, "patient", "<script>p</script>")
    assert "<script>" not in text_of(tmp_path, contents_of(section))


def test_a_section_without_image_gives_a_page_without_its_picture(tmp_path, section_of, contents_of):
    files = write_report(tmp_path, contents_of(section_of(image=False), tissue_mask=None))
    assert {path.stem for path in files[:-1]} == FIGURES - {"he"}


def test_without_image_and_lattice_distances_are_in_pixels(tmp_path, section_of, contents_of):
    text = text_of(tmp_path, contents_of(section_of(image=False, lattice=None), tissue_mask=None))
    assert "distances here are in pixels" in text
    assert "Area (mm²)" not in text


@pytest.mark.parametrize("n_domains", [1, 25])
def test_few_and_many_domains_are_listed_all(tmp_path, contents_of, n_domains):
    text = text_of(tmp_path, contents_of(n_domains=n_domains))
    assert text.count('class="swatch') == n_domains


def test_unknown_confidence_is_said_to_be_unknown(tmp_path, contents_of):
    table = contents_of().domains.assign(confidence=np.nan)
    assert text_of(tmp_path, contents_of(domains=table, scores=None)).count("not known</td>") == 3


def test_one_spot_is_enough(tmp_path, section_of, contents_of):
    files = write_report(tmp_path, contents_of(section_of(side=1, image_side=200), n_domains=1))
    assert {path.stem for path in files[:-1]} == FIGURES - {"components", "embedding"}


def test_one_spot_without_image_and_lattice_is_enough(tmp_path, section_of, contents_of):
    section = section_of(side=1, image=False, lattice=None)
    assert write_report(tmp_path, contents_of(section, n_domains=1, tissue_mask=None, evidence={}))


@pytest.mark.parametrize("pixels", [1, 3])
def test_an_image_of_few_pixels_is_drawn(tmp_path, section_of, contents_of, pixels):
    mask = np.ones((1, 1), bool)
    assert write_report(tmp_path, contents_of(section_of(image_side=pixels), tissue_mask=mask))


def test_a_constant_embedding_is_drawn(tmp_path, contents_of):
    assert write_report(tmp_path, contents_of(embedding=np.ones((36, 2), np.float32)))


def test_bare_contents_are_enough(tmp_path, section_of, contents_of):
    bare = {"preflight": {}, "evidence": {}, "scores": None, "record": {}, "embedding": None, "notes": ()}
    text = text_of(tmp_path, contents_of(section_of(), **bare))
    assert "No check was recorded" in text
    assert "given labels" not in text


def test_spots_without_a_domain_are_drawn_grey(tmp_path, contents_of):
    whole = write_report(tmp_path, contents_of())[1]
    pixels = np.asarray(Image.open(whole).convert("RGB"))
    some = contents_of().domains.iloc[:30]
    (tmp_path / "some").mkdir()
    fewer = np.asarray(Image.open(write_report(tmp_path / "some", contents_of(domains=some))[1]).convert("RGB"))
    grey = np.array([0xC9, 0xCC, 0xD1])
    assert (np.abs(fewer.astype(int) - grey).max(-1) == 0).sum() > (
        np.abs(pixels.astype(int) - grey).max(-1) == 0
    ).sum()
