// One giant number that falls when patients are kept apart and when it is averaged over them.
const ROLL = 900;  // milliseconds

class Falling extends Component {
  constructor(root) {
    super(root);
    Object.assign(this, { shown: null, set: 0 });
    for (const name of ["apart", "patients"]) this.find(name).addEventListener("change", () => this.change());
  }

  begin(data) {
    if (this.data) return;
    this.data = data;
    this.find("pair").replaceChildren(...data.pair.map(([source, stamp]) => {
      const figure = document.createElement("figure");
      figure.append(made("img", { src: source, alt: `A slice, stamped ${stamp}` }), made("figcaption", { textContent: stamp }));
      return figure;
    }));
    this.find("sets").hidden = data.sets.length < 2;
    this.find("sets").replaceChildren(...data.sets.map(({ name }, index) => {
      const button = made("button", { type: "button", textContent: name });
      button.onclick = () => { this.set = index; this.change(); };
      return button;
    }));
    this.change();
  }

  change() {
    const { name, values, reported, source } = this.data.sets[this.set];
    const apart = this.find("apart").checked, patients = this.find("patients").checked;
    const value = values[`${apart ? "apart" : "mixed"}_${patients ? "patients" : "slices"}`];
    [...this.find("sets").children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === this.set)));
    this.find("words").textContent = `Dice, measured on ${name}`;
    this.find("measured").style.width = `${100 * value}%`;
    this.find("rest").style.left = `${100 * value}%`;
    this.find("rest").style.width = `${100 * Math.max(0, reported - value)}%`;
    this.find("gap").textContent = reported - value > 0.005 ? `${(reported - value).toFixed(2)} not reproduced` : "";
    this.find("scale").setAttribute("aria-label", `Measured ${value.toFixed(2)} of ${reported.toFixed(2)} reported`);
    this.find("says").textContent = `${source} ${apart
      ? "Every slice of a patient lies on one side: in training or in test."
      : "Slices were dealt at random: neighbours of a test slice were trained on."} ${patients
      ? "Each patient counts once." : this.data.sets[this.set].slices_words}`;
    this.roll(value);
  }

  roll(value) {
    const from = this.shown ?? this.data.sets[this.set].reported, started = performance.now(), place = this.find("value");
    this.target = value;
    const step = () => {
      if (this.target !== value) return;
      const share = Math.min(1, (performance.now() - started) / ROLL), eased = 1 - (1 - share) ** 3;
      this.shown = from + (value - from) * eased;
      place.textContent = this.shown.toFixed(2);
      if (share < 1) requestAnimationFrame(step);
    };
    step();
  }
}

export default function ({ data, parentElement }) {
  parentElement.falling ??= new Falling(parentElement);
  parentElement.falling.begin(data);
}
