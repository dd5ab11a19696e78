"""The page in a real browser: what it shows is what the table holds, and a link shows it again."""

import re

import pytest
import spatialdata

WIDE = {"width": 1280, "height": 800}


@pytest.fixture
def page(browser, address):
    """The page, opened; closing it fails where it complained on the console or asked another machine."""
    context = browser.new_context(viewport=WIDE)
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: None if "127.0.0.1" in asked.url else complaints.append(asked.url))
    opened(page, address)
    yield page
    context.close()
    assert complaints == []


def opened(page, address) -> None:
    page.goto(address)
    page.wait_for_selector("body[data-ready]", timeout=60_000)


def on_screen(page, x_px, y_px) -> tuple[float, float]:
    """Where a place of the slide lies on the screen, by the state in the address."""
    page.wait_for_url(re.compile("zoom="))
    state = dict(part.split("=") for part in page.evaluate("location.hash.slice(1)").split("&"))
    x, y, zoom = (float(state[name]) for name in ("x", "y", "zoom"))
    box = page.locator("#slide").bounding_box()
    return (
        box["x"] + box["width"] / 2 + (x_px - x) * zoom,
        box["y"] + box["height"] / 2 + (y_px - y) * zoom,
    )


def test_a_click_on_a_spot_reads_the_numbers_of_the_table(page, result):
    table = spatialdata.read_zarr(result / "section.zarr").tables["table"]
    row = table.n_obs // 2
    page.keyboard.press("0")
    page.mouse.click(*on_screen(page, *table.obsm["spatial"][row]))
    facts = page.locator("#spot-facts dl")
    facts.wait_for()
    text = facts.inner_text()
    assert table.obs_names[row] in text
    assert f"{table.X[row].sum():,.0f} in" in text
    assert re.search(rf"Domain\s+{table.obs['domain'].iloc[row]}, confidence", text)


def test_a_gene_is_found_by_typing_and_the_link_shows_the_same_again(page, result):
    genes = spatialdata.read_zarr(result / "section.zarr").tables["table"].var_names
    page.keyboard.press("/")
    page.locator("#gene:focus").wait_for()
    page.fill("#gene", genes[7].lower())
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"gene={genes[7]}"))
    page.locator("#slide").focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(900)  # the movement ends
    link, limits = page.url, page.input_value("#high")
    page.goto("about:blank")
    opened(page, link)
    page.wait_for_timeout(900)
    assert page.url == link
    assert page.input_value("#gene") == genes[7]
    assert page.input_value("#high") == limits
    assert page.get_by_role("radio", name="Gene", exact=True).get_attribute("aria-checked") == "true"


def test_layers_are_switched_and_a_domain_is_hidden(page):
    for layer in ("Confidence", "Gene map", "Depth", "Nothing", "Domains"):
        page.get_by_role("radio", name=layer, exact=True).click()
    page.get_by_label("Nuclei").check()
    entry = page.get_by_role("button", name="Domain 1")
    entry.click()
    assert entry.get_attribute("aria-pressed") == "false"
    page.wait_for_url(re.compile("hidden=1.*nuclei=1"))
    assert page.locator("#message").is_hidden()


def test_every_control_has_a_name(page):
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, select")]
           .filter((one) => one.checkVisibility() && !one.labels?.length)
           .filter((one) => !one.getAttribute("aria-label") && !one.textContent.trim()).map((one) => one.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("size", [WIDE, {"width": 820, "height": 1180}])
def test_nothing_is_cut_off_at_the_side(page, size):
    page.set_viewport_size(size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.locator("#panel").bounding_box()["width"] >= 300
