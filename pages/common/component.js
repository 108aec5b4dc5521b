// What all components share; it stands before the script of each.
class Component {
  constructor(root) { this.root = root; }

  find(name) { return this.root.querySelector(`[data-name=${name}]`); }
}

const made = (tag, properties) => Object.assign(document.createElement(tag), properties);

async function picture(source) {
  const image = made("img", { src: source });
  await image.decode();
  return image;
}

