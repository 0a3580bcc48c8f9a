"use strict";
(() => {
  const ROWS_PER_PAGE = 50;
  const MISSING = "–";
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const counted = (count) => count.toLocaleString("en");

  /* Texts from elsewhere are inserted as textContent only, never as HTML. */
  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  /* Missing values come last in both directions. */
  const compare = (a, b, sign) => {
    const aMissing = a === null || a === undefined, bMissing = b === null || b === undefined;
    if (aMissing || bMissing) return aMissing - bMissing;
    return sign * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  };

  /* Header buttons: texts sort ascending first, figures descending; aria-sort has the current direction. */
  const onSort = (table, sort) => {
    const headers = all("thead > tr > *", table);
    for (const button of all(".sort", table)) {
      button.addEventListener("click", () => {
        const header = button.closest("th"), column = headers.indexOf(header), was = header.ariaSort;
        const first = button.dataset.kind === "text" ? "ascending" : "descending";
        const now = !was ? first : was === "ascending" ? "descending" : "ascending";
        for (const other of headers) other.removeAttribute("aria-sort");
        header.setAttribute("aria-sort", now);
        sort(column, now === "ascending" ? 1 : -1, button.dataset.kind);
      });
    }
  };

  const setUpTrends = () => {
    const select = one("#trend-group"), groups = all(".trend-group");
    const show = () => groups.forEach((group, n) => {
      group.open = n === Number(select ? select.value : 0);
      group.hidden = !group.open;
    });
    if (select) select.addEventListener("change", show);
    if (groups.length) show();
  };

  const setUpCells = () => {
    const table = one("#cell-table"), form = one("#cell-filters");
    if (!table) return;
    const body = table.tBodies[0], rows = [...body.rows];
    const value = (row, column, kind) => {
      /* A cell that was not tested spans the columns of the test. */
      let at = 0;
      for (const cell of row.cells) {
        if (at === column) {
          const found = cell.dataset.v;
          return found === undefined ? null : kind === "text" ? found : Number(found);
        }
        at += cell.colSpan;
        if (at > column) return null;
      }
      return null;
    };
    onSort(table, (column, sign, kind) => {
      rows.sort((a, b) => compare(value(a, column, kind), value(b, column, kind), sign));
      body.append(...rows);
    });
    const filter = () => {
      const { label, group, changed } = form.elements, wanted = group.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = (label.value && row.dataset.label !== label.value) || (changed.checked && !row.dataset.changed) ||
          !row.cells[0].dataset.v.toLowerCase().includes(wanted);
        shown += !row.hidden;
      }
      one("#cell-count").textContent = shown === rows.length ? "" : `${counted(shown)} of ${counted(rows.length)} cells`;
    };
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  };

  const setUpVideos = () => {
    const data = JSON.parse(one("#listing").textContent);
    const table = one("#video-table"), body = table.tBodies[0], form = one("#video-filters").elements;
    const cards = new Map(data.cards);
    const paths = data.file.map((file, n) => data.folders[data.folder[n]] + file);
    const groupNames = data.groupsOf.map((places) => places.map((place) => data.groups[place]).join(", "));
    const haystacks = paths.map((path, n) =>
      `${path}\n${groupNames[n]}\n${data.reason[n] === null ? "" : data.reasons[data.reason[n]]}`.toLowerCase());
    const columns = [
      (n) => paths[n], (n) => data.outcomes[data.outcome[n]], (n) => groupNames[n] || null,
      (n) => data.durationTenths[n], (n) => data.frames[n], ...data.labels.map((_, label) => (n) => data.peakThousandths[label][n]),
    ];
    let order = paths.map((_, n) => n), shown = order, page = 0;

    const options = (select, values) => select.append(...values.map((value) => new Option(value, value)));
    options(form.outcome, data.outcomes);
    options(form.label, data.labels);
    options(form.group, data.choices);

    const pathCell = (n) => {
      const cell = element("th"), name = element("bdi", paths[n], "name");
      cell.scope = "row";
      const card = cards.get(n);
      if (card) {
        const link = element("a");
        link.href = `#${card}`;
        link.append(name);
        cell.append(link);
      } else cell.append(name);
      if (data.reason[n] !== null) cell.append(element("bdi", data.reasons[data.reason[n]], "reason"));
      return cell;
    };
    const captioned = (cell, caption) => {
      cell.dataset.th = caption; /* narrow screens show it in place of the column's header */
      return cell;
    };
    const labelCell = (n, label) => {
      const peak = data.peakThousandths[label][n], events = data.events[label][n];
      const cell = captioned(element("td", peak === null ? MISSING : (peak / 1000).toFixed(2), "number"), data.labels[label]);
      if (events) {
        cell.classList.add("flagged");
        const seconds = (data.eventTenths[label][n] / 10).toFixed(1);
        cell.append(element("small", `${events} ${events === 1 ? "event" : "events"}, ${seconds} s`));
      }
      return cell;
    };
    const render = () => {
      const pages = Math.max(1, Math.ceil(shown.length / ROWS_PER_PAGE));
      page = Math.min(Math.max(0, page), pages - 1);
      const first = page * ROWS_PER_PAGE, here = shown.slice(first, first + ROWS_PER_PAGE);
      body.replaceChildren(...here.map((n) => {
        const row = element("tr"), duration = data.durationTenths[n], groups = element("td", undefined, "group-names");
        groups.append(element("bdi", groupNames[n] || MISSING, "name"));
        row.append(
          pathCell(n), captioned(element("td", data.outcomes[data.outcome[n]]), "Outcome"), captioned(groups, "Groups"),
          captioned(element("td", duration === null ? MISSING : `${(duration / 10).toFixed(1)} s`, "number"), "Length"),
          captioned(element("td", counted(data.frames[n]), "number"), "Frames"), ...data.labels.map((_, label) => labelCell(n, label)));
        return row;
      }));
      one("#video-count").textContent = here.length
        ? `${counted(first + 1)}–${counted(first + here.length)} of ${counted(shown.length)}` : "No video is like that.";
      one("#previous").disabled = page === 0;
      one("#following").disabled = page === pages - 1;
    };
    const filter = () => {
      const text = form.text.value.trim().toLowerCase(), outcome = data.outcomes.indexOf(form.outcome.value);
      const label = data.labels.indexOf(form.label.value), group = data.groups.indexOf(form.group.value);
      shown = order.filter((n) =>
        haystacks[n].includes(text) && (outcome < 0 || data.outcome[n] === outcome) &&
        (group < 0 || data.groupsOf[n].includes(group)) && (label < 0 || data.events[label][n] > 0) &&
        (form.label.value !== "any" || data.events.some((events) => events[n] > 0)));
      page = 0;
      render();
    };
    onSort(table, (column, sign) => {
      const values = paths.map((_, n) => columns[column](n));
      order = [...order].sort((a, b) => compare(values[a], values[b], sign));
      filter();
    });
    const turn = (pages) => {
      page += pages;
      render();
      table.parentElement.scrollIntoView({ block: "nearest" });
    };
    one("#previous").addEventListener("click", () => turn(-1));
    one("#following").addEventListener("click", () => turn(1));
    one("#video-filters").addEventListener("input", filter);
    one("#video-filters").addEventListener("submit", (event) => event.preventDefault());
    /* Links to a label's flagged videos of a group. */
    for (const link of all("a[data-label]")) {
      link.addEventListener("click", () => {
        const { label, group } = link.dataset, everyone = group === "all", known = data.choices.includes(group);
        form.outcome.value = "";
        form.label.value = label;
        form.group.value = !everyone && known ? group : "";
        form.text.value = everyone || known ? "" : group;
        filter();
      });
    }
    render();
  };

  const expired = (shown) => shown.dataset.expires && Date.parse(shown.dataset.expires) < Date.now();
  const failure = (shown, what) => expired(shown)
    ? `The link to this ${what} has expired; write the page anew with \`artifactscan report\` to get a fresh one.`
    : `The ${what} cannot be played here: it is not where this page looks for it, or the browser cannot play its format.`;

  const setUpPlayer = (card) => {
    const video = one("video", card), says = one(".player-says", card), tracks = all(".track", card);
    const duration = tracks.length ? Number(tracks[0].dataset.duration) : 0;
    for (const track of tracks) {
      for (const event of all(".event", track)) {
        event.style.left = `${(100 * event.dataset.seek) / duration}%`;
        event.style.width = `${(100 * (event.dataset.end - event.dataset.seek)) / duration}%`;
        event.classList.add("placed");
      }
    }
    if (!video) {
      for (const button of all("[data-seek]", card)) button.disabled = true;
      const gif = one(".show-gif", card);
      const show = () => {
        const moving = element("img", undefined, "moving");
        moving.alt = `${one("h3 bdi", card).textContent}, moving`;
        moving.addEventListener("error", () => moving.replaceWith(element("p", failure(gif, "GIF"), "no-player")));
        moving.src = gif.href;
        gif.parentElement.replaceWith(moving);
      };
      if (gif) gif.addEventListener("click", (click) => {
        click.preventDefault();
        show();
      });
      card.addEventListener("play-from", () => gif && gif.isConnected && show());
      return;
    }
    const heads = tracks.map((track) => {
      const head = element("div", undefined, "playhead");
      head.hidden = true;
      track.append(head);
      return head;
    });
    const picture = one(".picture img", card);
    if (picture) video.poster = picture.src;
    const begin = (seconds) => {
      video.currentTime = seconds;
      video.play().catch(() => {}); /* a failure shows as an error event, or the player does not move */
    };
    const seek = (seconds) => {
      says.textContent = "";
      if (video.readyState >= HTMLMediaElement.HAVE_METADATA) return begin(seconds);
      video.addEventListener("loadedmetadata", () => begin(seconds), { once: true });
      video.preload = "auto";
      video.load();
    };
    card.addEventListener("play-from", (asked) => seek(asked.detail));
    card.addEventListener("click", (click) => {
      const button = click.target.closest("[data-seek]"), track = click.target.closest(".track");
      if (!button && !track) return;
      for (const other of all("[aria-current]", card)) other.removeAttribute("aria-current");
      if (button) {
        const same = (other) => other.dataset.seek === button.dataset.seek && other.dataset.end === button.dataset.end;
        all("[data-end]", card).filter(same).forEach((other) => other.setAttribute("aria-current", "true"));
        seek(Number(button.dataset.seek));
      } else {
        const box = track.getBoundingClientRect();
        seek((duration * (click.clientX - box.left)) / box.width);
      }
    });
    video.addEventListener("timeupdate", () => {
      for (const head of heads) {
        head.hidden = false;
        head.style.left = `${Math.min(100, (100 * video.currentTime) / duration)}%`;
      }
    });
    video.addEventListener("error", () => {
      says.textContent = failure(video, "video");
    });
    if (expired(video)) says.textContent = "The link to this video has expired; `artifactscan report` writes a page with a fresh one.";
  };

  /* The clips of the first screen play in their cards. */
  const setUpLooks = () => {
    for (const link of all("a[data-play]")) {
      link.addEventListener("click", () => {
        const card = one(link.hash);
        if (card) card.dispatchEvent(new CustomEvent("play-from", { detail: Number(link.dataset.play) }));
      });
    }
  };

  setUpTrends();
  setUpCells();
  setUpVideos();
  all(".card").forEach(setUpPlayer);
  setUpLooks();
})();
