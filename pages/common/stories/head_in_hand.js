// A head that a slider or a finger cuts open, from frames that were drawn beforehand. It rises once by itself.
const RISE = 3200;  // milliseconds from foot to top, once, before anybody touches it
const REST = 0.55;  // share of the way at which it comes to rest

class Head extends Component {
  constructor(root) {
    super(root);
    this.canvas = root.querySelector("canvas");
    this.slider = root.querySelector("input");
    this.slider.addEventListener("input", () => { this.touched = true; this.show(Number(this.slider.value)); });
    this.canvas.addEventListener("pointerdown", (event) => { this.canvas.setPointerCapture(event.pointerId); this.cut(event); });
    this.canvas.addEventListener("pointermove", (event) => { if (event.buttons) this.cut(event); });
  }

  async begin(data) {
    if (this.data) return;
    this.data = data;
    this.count = data.area_cm2.length;
    this.slider.max = this.count - 1;
    this.sprite = await picture(data.sprite);
    this.canvas.width = this.canvas.height = data.size;
    this.find("all").setAttribute("d", this.path(this.count));
    const started = performance.now(), calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const rise = () => {
      if (this.touched) return;
      const share = calm ? 1 : Math.min(1, (performance.now() - started) / RISE);
      // Up to the top, and back to where the tumour is widest.
      const level = share < 0.75 ? share / 0.75 : 1 - (1 - REST) * (share - 0.75) / 0.25;
      this.show(Math.round(level * (this.count - 1)));
      if (share < 1) requestAnimationFrame(rise);
    };
    rise();
  }

  cut(event) {
    this.touched = true;
    const box = this.canvas.getBoundingClientRect();
    const share = 1 - Math.min(1, Math.max(0, (event.clientY - box.top) / box.height));
    this.show(Math.round(share * (this.count - 1)));
  }

  path(levels) {
    const most = Math.max(...this.data.area_cm2), step = 100 / (this.count - 1);
    const points = this.data.area_cm2.slice(0, levels).map((area, index) => `${(index * step).toFixed(2)},${(23 - 22 * area / most).toFixed(2)}`);
    return `M0,23 L${points.join(" L")} L${((levels - 1) * step).toFixed(2)},23 Z`;
  }

  show(level) {
    if (!this.sprite) return;
    const { size, columns, volume_ml: volume } = this.data;
    this.canvas.getContext("2d").drawImage(this.sprite, level % columns * size, Math.floor(level / columns) * size, size, size, 0, 0, size, size);
    this.slider.value = level;
    this.slider.setAttribute("aria-valuetext", `${volume[level].toFixed(0)} millilitres up to here`);
    this.find("millilitres").textContent = volume[level].toFixed(0);
    this.find("past").setAttribute("d", this.path(level + 1));
  }
}

export default function ({ data, parentElement }) {
  parentElement.head ??= new Head(parentElement);
  parentElement.head.begin(data);
}
