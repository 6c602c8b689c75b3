// What the address names after #, as in #issue=clipped&search=talk, is shown; the form sets it.
{
  const form = document.querySelector("form.filter");
  const rows = document.querySelectorAll("#flagged tbody tr");
  const groups = document.querySelectorAll("#worst .group");
  const findings = (row) =>
    [2, 3].flatMap((column) => row.cells[column].textContent.split(", "));
  const show = () => {
    const chosen = new URLSearchParams(location.hash.slice(1));
    const issue = chosen.get("issue") ?? "";
    const search = (chosen.get("search") ?? "").toLowerCase();
    form.elements.issue.value = issue;
    if (form.elements.search.value.toLowerCase() !== search) form.elements.search.value = search;
    const has = (node) => node.textContent.toLowerCase().includes(search);
    let shown = 0;
    for (const row of rows) {
      row.hidden = (issue && !findings(row).includes(issue)) || !has(row);
      shown += !row.hidden;
    }
    for (const group of groups) {
      const cards = [...group.querySelectorAll(".case")];
      for (const card of cards) card.hidden = !has(card);
      group.hidden = (issue && group.dataset.finding !== issue) || cards.every((card) => card.hidden);
    }
    form.querySelector("output").value = `${shown} of ${rows.length} utterances in the table`;
  };
  if (form) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      const chosen = new URLSearchParams();
      for (const { name, value } of form.elements) if (name && value) chosen.set(name, value);
      history.replaceState(null, "", `#${chosen}`);
      show();
    });
    addEventListener("hashchange", show);
    show();
  }
}

// A line moves through the spectrogram with the sound; a click on the spectrogram plays from there.
for (const player of document.querySelectorAll(".player")) {
  const sound = player.querySelector("audio");
  const svg = player.querySelector("svg.plot");
  const image = svg.querySelector("image");
  const [left, top, width, height] = ["x", "y", "width", "height"].map((name) => Number(image.getAttribute(name)));
  const head = document.createElementNS(svg.namespaceURI, "line");
  head.setAttribute("class", "playhead");
  head.setAttribute("y1", top);
  head.setAttribute("y2", top + height);
  sound.addEventListener("timeupdate", () => {
    const at = left + (width * sound.currentTime) / sound.duration;
    head.setAttribute("x1", at);
    head.setAttribute("x2", at);
    svg.append(head);
  });
  svg.addEventListener("click", (event) => {
    const box = image.getBoundingClientRect();
    const part = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    const play = () => {
      sound.currentTime = part * sound.duration;
      sound.play();
    };
    if (sound.readyState > 0) play();
    else {
      sound.addEventListener("loadedmetadata", play, { once: true });
      sound.load();
    }
  });
}
