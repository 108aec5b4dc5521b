// On a phone the menu lies over the page: it closes once a screen was chosen, and after a reload.
export default function ({ data, parentElement }) {
  if (parentElement.screen === data.screen) return;
  parentElement.screen = data.screen;
  if (innerWidth > 640) return;
  let tries = 20;  // Streamlit may open it while the page is drawn; whoever opens it meanwhile means it
  document.addEventListener("pointerdown", () => { tries = 0; }, { once: true, capture: true });
  const close = () => {
    if (tries-- <= 0) return;
    const button = document.querySelector("[data-testid=stSidebarCollapseButton] button");
    const menu = document.querySelector("[data-testid=stSidebar]");
    if (button && menu && menu.getBoundingClientRect().right > 40) { button.click(); return; }
    setTimeout(close, 100);
  };
  close();
}
