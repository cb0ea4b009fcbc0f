// What the address keeps after its #: bounds, theme, filters, orders of tables, what is pointed out. Others are places.
const address = (() => {
  "use strict";

  const recalls = [];
  const state = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

  // An empty value is forgotten.
  const remember = (name, value) => {
    const kept = state();
    if (value) kept.set(name, value);
    else kept.delete(name);
    const words = String(kept);
    history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
  };

  // Called with the state now, and whenever another address is opened.
  const recall = (take) => {
    recalls.push(take);
    take(state());
  };
  addEventListener("hashchange", () => { for (const take of recalls) take(state()); });

  return {remember, recall};
})();
