// The slide: OpenSeadragon, with one tiled image for each layer, all cut by the server.

import { complain, path, withQuery } from "./api.js";

const OSD = window.OpenSeadragon;
const LAYERS = ["slide", "main", "tissue", "nuclei"];   // from below to above

// OpenSeadragon adds an inline style where it finds none of this name; the page's policy refuses that, style.css has its
// rule, and an element without a namespace is found but is no style
const own = document.createElementNS(null, "style");
own.setAttribute("data-openseadragon-mobile-css", "true");
document.head.append(own);

export class Slide {
  constructor(element) {
    this.facts = null;
    this.shown = new Map();     // layer -> {address, item}
    this.wanted = new Map();    // layer -> address, while it is being added
    this.opacity = { slide: 1, main: 0.75, tissue: 1, nuclei: 1 };
    this.viewer = new OSD.Viewer({
      element, drawer: ["webgl", "canvas"], showNavigationControl: false, showNavigator: true,
      navigatorPosition: "BOTTOM_RIGHT", navigatorSizeRatio: 0.15, navigatorAutoFade: false,
      animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.5,
      maxZoomPixelRatio: 4, visibilityRatio: 0.3, minZoomImageRatio: 0.7, imageLoaderLimit: 8, timeout: 60000,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true }, zoomPerScroll: 1.3,
      maxImageCacheCount: 400, drawerOptions: { webgl: { unpackWithPremultipliedAlpha: true } },
    });
    this.viewer.innerTracker.keyDownHandler = null;   // keys are the page's own, the same wherever the focus is
    this.viewer.innerTracker.keyHandler = null;
  }

  /** Show a section; resolves once it can be moved. */
  open(facts) {
    this.viewer.world.removeAll();
    this.shown.clear();
    this.wanted.clear();
    this.facts = facts;
    return this.show("slide", {}, "slide");
  }

  /** Show a layer, or another content in its place; nothing where `name` is empty. Resolves once it is placed. */
  show(layer, parameters, name) {
    const address = name ? withQuery(path("tiles", this.facts.name, this.facts.version, name), parameters) : "";
    const now = this.shown.get(layer);
    if ((this.wanted.get(layer) ?? now?.address ?? "") === address) return Promise.resolve();
    this.wanted.set(layer, address);
    if (!address) {
      this.remove(now?.item);
      this.shown.delete(layer);
      this.wanted.delete(layer);
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.viewer.addTiledImage({
        tileSource: this.source(name, parameters),
        opacity: this.opacity[layer],
        success: ({ item }) => this.placed(layer, address, item, resolve),
      });
    });
  }

  placed(layer, address, item, resolve) {
    if (this.wanted.get(layer) !== address) {           // asked for something else meanwhile
      this.viewer.world.removeItem(item);
      resolve();
      return;
    }
    this.remove(this.shown.get(layer)?.item);           // at once: two genes over each other would show neither
    this.shown.set(layer, { address, item });
    this.wanted.delete(layer);
    item.setOpacity(this.opacity[layer]);
    const { world } = this.viewer;
    for (const name of LAYERS) {
      const one = this.shown.get(name)?.item;
      if (one) world.setItemIndex(one, world.getItemCount() - 1);
    }
    resolve();
  }

  remove(item) {
    if (item && this.viewer.world.getIndexOfItem(item) >= 0) this.viewer.world.removeItem(item);
  }

  setOpacity(layer, opacity) {
    this.opacity[layer] = opacity;
    this.shown.get(layer)?.item.setOpacity(opacity);
  }

  source(name, parameters) {
    const { width, height, tile_px: tile, top_level: top, version, name: section } = this.facts;
    const least = Math.max(0, top - Math.ceil(Math.log2(Math.max(width, height) / tile)));
    const source = new OSD.TileSource({ width, height, tileSize: tile, tileOverlap: 0, minLevel: least, maxLevel: top });
    source.hasTransparency = () => name !== "slide";
    source.getTileUrl = (level, x, y) =>
      withQuery(path("tiles", section, version, name, String(level), `${x}_${y}`), parameters);
    source.downloadTileStart = (job) => download(job);
    source.downloadTileAbort = (job) => job.userData.stop?.abort();
    return source;
  }

  /** Place and zoom, in level-0 pixels. */
  get view() {
    const item = this.shown.get("slide")?.item;
    if (!item) return null;
    const centre = item.viewportToImageCoordinates(this.viewer.viewport.getCenter(true));
    return { x: centre.x, y: centre.y, zoom: item.viewportToImageZoom(this.viewer.viewport.getZoom(true)) };
  }

  set view({ x, y, zoom }) {
    const item = this.shown.get("slide")?.item;
    if (!item) return;
    this.viewer.viewport.panTo(item.imageToViewportCoordinates(x, y), true);
    this.viewer.viewport.zoomTo(item.imageToViewportZoom(zoom), null, true);
  }

  /** Place on the slide, in level-0 pixels, of a place in the viewer's element. */
  toSlide(point) {
    return this.shown.get("slide")?.item.viewerElementToImageCoordinates(new OSD.Point(point.x, point.y));
  }

  zoomBy(factor) { this.viewer.viewport.zoomBy(factor).applyConstraints(); }

  panBy(x, y) {
    const { viewport } = this.viewer;
    viewport.panBy(viewport.deltaPointsFromPixels(new OSD.Point(x, y))).applyConstraints();
  }

  home() { this.viewer.viewport.goHome(); }
}

/** Fetch a tile; one that cannot be read comes hatched and says why. */
async function download(job) {
  const stop = new AbortController();
  job.userData.stop = stop;
  try {
    const answer = await fetch(job.src, { signal: stop.signal });
    const problem = answer.headers.get("x-histoscribe-problem");
    if (problem) complain(decodeURIComponent(problem));
    else if (!answer.ok) {
      complain((await answer.json()).problem);
      job.fail("refused", null);
      return;
    }
    job.finish(await answer.blob(), null, "rasterBlob");
  } catch (error) {
    if (error.name !== "AbortError") {
      complain("The viewer does not answer. Was `histoscribe view` stopped?");
      job.fail(error.message, null);
    }
  }
}
