"use strict";

// The page of the sandbox. Everything it shows is put in as text, never as HTML: a name may hold a <script>.

const POLL_MS = 1000;
const TYPING_MS = 120;

const FAULTS = [
  { name: "Server error", fault: { kind: "status", code: 500 }, text: "Every request is answered with 500. Nothing is applied." },
  { name: "Too many requests", fault: { kind: "status", code: 429, retry_after: "1" }, text: "429 with Retry-After: 1 second. Nothing is applied." },
  { name: "Wrong credentials", fault: { kind: "status", code: 401 }, text: "401, as a gateway or a changed token would answer." },
  { name: "Captive portal", fault: { kind: "html" }, text: "200 and a web page, as a proxy or a hotel answers. Nothing is applied." },
  { name: "A bare 1", fault: { kind: "bare" }, text: "200 and “1”: success that proves nothing. Nothing is applied." },
  { name: "One record too few", fault: { kind: "wrong_count" }, text: "200 and all well, but the count of good records is one short." },
  { name: "Empty answer", fault: { kind: "empty" }, text: "200 and no body. Nothing is applied." },
  { name: "Connection reset", fault: { kind: "reset" }, text: "The connection breaks off. Nothing is applied." },
  { name: "Answer lost", fault: { kind: "reset", applied: "all" }, text: "Every record is applied, then the connection breaks off." },
  { name: "Answer cut short", fault: { kind: "truncated", applied: "all" }, text: "Every record is applied, but half of the answer arrives." },
  { name: "Applied late", fault: { kind: "zombie", seconds: 5 }, text: "No answer; the records are applied five seconds later." },
  { name: "Slow", fault: { kind: "slow", seconds: 2 }, text: "The honest answer, two seconds late." },
];

const STRUCK = {
  status: "on purpose", reset: "connection reset", timeout: "no answer", zombie: "applied late", html: "captive portal",
  empty: "empty answer", bare: "a bare 1", wrong_count: "one record too few", truncated: "cut short", slow: "slow",
};

const state = {
  view: "users",
  overview: null,
  seen: "",
  users: { search: "", sort: "distinct_id", descending: false, page: 1, size: 50, group: "" },
  requests: { page: 1, trouble: false },
  open: null,
};

const $ = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key in made && key !== "role") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

async function ask(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== false);
  const query = new URLSearchParams(given);
  const answer = await fetch(`/sandbox/${path}?${query}`);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

async function tell(path, content = {}) {
  await attempt(() => fetch(`/sandbox/${path}`, { method: "POST", body: JSON.stringify(content) }));
  await refresh();
}

async function attempt(action) {
  try {
    await action();
    $("gone").hidden = true;
  } catch {
    $("gone").hidden = false;
    state.seen = ""; // whatever comes next is news
  }
}

// --- how things are said --------------------------------------------------------------------------------------------

const number = (value) => value.toLocaleString("en-US");
const count = (value, one, many) => `${number(value)} ${value === 1 ? one : many}`;

function time(seconds, { day = true } = {}) {
  if (seconds === null || seconds === undefined) return element("span", { className: "nothing" }, "not known");
  const at = new Date(seconds * 1000);
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const form = day ? { day: "numeric", month: "short", year: "numeric", ...clock } : clock;
  return element("time", { dateTime: at.toISOString(), title: at.toISOString() }, at.toLocaleString("en-GB", form));
}

const said = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function orNothing(text, instead) {
  return text === "" ? element("span", { className: "nothing" }, instead) : text;
}

// --- users ----------------------------------------------------------------------------------------------------------

async function showUsers() {
  const asked = JSON.stringify(state.users);
  const listing = await ask("users", state.users);
  if (asked !== JSON.stringify(state.users)) return; // a newer question is on its way
  state.users.page = listing.page;
  const kept = document.activeElement?.dataset?.id;
  $("users-rows").replaceChildren(...listing.users.map(userRow));
  if (kept !== undefined) rowButton(kept)?.focus();
  for (const head of document.querySelectorAll("#users-table th")) {
    if (head.dataset.sort !== state.users.sort) head.removeAttribute("aria-sort");
    else head.setAttribute("aria-sort", state.users.descending ? "descending" : "ascending");
  }
  showPager("users", listing, state.users.size, listing.users.length);
  $("users-empty").hidden = listing.users.length > 0;
  $("users-empty").replaceChildren(...(listing.of ? ["Nobody matches this search."] : nobody()));
}

function nobody() {
  const token = state.overview?.token ?? "";
  return ["No profile has arrived yet. Point a config at this address with ", element("code", {}, `base_url = "${location.origin}"`),
    " and ", element("code", {}, `token = "${token}"`), ", then run it."];
}

function userRow(user) {
  const open = element("button", { type: "button", "data-id": user.distinct_id, "aria-haspopup": "dialog" }, user.distinct_id);
  const row = element("tr", {},
    element("td", {}, open),
    element("td", {}, orNothing(user.name, "no name"), element("span", { className: "second" }, user.email)),
    element("td", {}, orNothing(user.email, "no e-mail")),
    element("td", {}, time(user.updated_at)));
  row.addEventListener("click", () => openProfile(user.distinct_id));
  return row;
}

const rowButton = (id) => [...document.querySelectorAll("#users-rows button")].find((one) => one.dataset.id === id);

function showPager(name, listing, size, shown) {
  const [previous, next] = [$(`${name}-previous`), $(`${name}-next`)];
  const focused = document.activeElement;
  say($(`${name}-where`), where(listing, size, shown));
  previous.disabled = listing.page <= 1;
  next.disabled = listing.page >= listing.pages;
  // A button that is switched off under the finger would drop the focus to the top of the page.
  if (focused === next && next.disabled) previous.focus();
  if (focused === previous && previous.disabled) next.focus();
}

function where(listing, size, shown) {
  if (!shown) return "0 shown";
  const first = (listing.page - 1) * size + 1;
  const all = listing.of === undefined || listing.of === listing.matching ? "" : ` (${number(listing.of)} in all)`;
  return `${number(first)}–${number(first + shown - 1)} of ${number(listing.matching)}${all}`;
}

// --- one profile ----------------------------------------------------------------------------------------------------

function openProfile(id) {
  return attempt(async () => {
    state.open = id;
    await showProfile();
    if (!$("profile").open) $("profile").showModal();
    $("profile-title").focus();
  });
}

async function showProfile() {
  if (state.open === null) return;
  const { profile, history } = await ask("user", { distinct_id: state.open, group: state.users.group });
  if (profile === null && !history.length) return $("profile").close(); // the sandbox was emptied in the meantime
  const properties = profile?.properties ?? {};
  $("profile-title").textContent = properties.$name ?? state.open;
  $("profile-sub").replaceChildren(...(profile === null
    ? [`${state.open} · deleted`]
    : [`${state.open} · updated `, time(profile.updated_at), ` · ${count(profile.records, "record", "records")}`]));
  const names = Object.keys(properties).sort((one, other) => one.localeCompare(other));
  $("profile-properties").replaceChildren(...names.map((name) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, said(properties[name])))));
  $("profile-properties").hidden = names.length === 0;
  $("profile-history").replaceChildren(...history.map(eventEntry));
}

function eventEntry(event) {
  const changes = event.changes.map((change) => {
    const line = element("li", {}, `${change.name}: `);
    if ("before" in change) line.append(element("del", {}, said(change.before)), "after" in change ? " → " : "");
    if ("after" in change) line.append(element("ins", {}, said(change.after)));
    return line;
  });
  if (!changes.length) changes.push(element("li", { className: "nothing" }, "changed nothing"));
  return element("li", { className: event.operation === "$delete" ? "gone" : "" },
    element("div", { className: "what" }, element("code", {}, event.operation), time(event.at)),
    element("ul", {}, ...changes));
}

// --- requests -------------------------------------------------------------------------------------------------------

async function showRequests() {
  const log = await ask("log", state.requests);
  state.requests.page = log.page;
  $("requests-rows").replaceChildren(...log.requests.map(requestRow));
  showPager("requests", log, 50, log.requests.length);
  $("requests-empty").hidden = log.requests.length > 0;
  $("requests-empty").textContent = state.requests.trouble ? "Nothing went wrong." : "Nothing was asked yet.";
}

function requestRow(line) {
  const refused = line.applied < line.records;
  const status = line.status === 0 ? "no answer" : String(line.status);
  const kind = line.status === 0 || line.status >= 400 ? "bad" : refused || line.fault ? "warn" : "";
  const answer = element("td", {}, element("span", { className: `pill ${kind}` }, status));
  if (line.fault) answer.append(element("span", { className: "pill warn" }, STRUCK[line.fault]));
  if (line.reply) answer.append(element("code", { className: "reply" }, line.reply));
  return element("tr", {},
    element("td", { className: "number" }, number(line.number)),
    element("td", {}, time(line.at, { day: false })),
    element("td", {}, `${line.method} ${line.path}`),
    answer,
    element("td", { className: "number" }, number(line.records)),
    element("td", { className: "number" }, number(line.applied)),
    element("td", { className: "number" }, number(line.bytes)));
}

// --- faults ---------------------------------------------------------------------------------------------------------

const same = (wanted, fault) => Object.entries(wanted).every(([key, value]) => fault[key] === value)
  && (wanted.applied ?? "none") === fault.applied;
const standing = () => state.overview?.faults ?? [];
const permanent = (wanted) => standing().find((one) => one.fault.times === null && same(wanted, one.fault));
const nameOf = (fault) => FAULTS.find((one) => same(one.fault, fault))?.name ?? fault.kind;

function makeFaults() {
  $("faults-list").replaceChildren(...FAULTS.map((known, index) => {
    const title = `fault-${index}`;
    const toggle = element("button", {
      type: "button", className: "switch", role: "switch", "aria-checked": "false", "aria-labelledby": title, "aria-describedby": `${title}-text`,
    });
    toggle.addEventListener("click", () => {
      const on = permanent(known.fault);
      tell(on ? "faults/clear" : "faults", on ? { number: on.number } : { ...known.fault, times: null });
    });
    const once = element("button", { type: "button", "aria-describedby": title }, "Next request only");
    once.addEventListener("click", () => tell("faults", known.fault));
    return element("li", { id: `${title}-card` },
      element("div", { className: "top" }, element("h2", { id: title }, known.name), toggle),
      element("p", { id: `${title}-text` }, known.text),
      element("div", { className: "below" }, element("span", { className: "struck", role: "status" }), once));
  }));
}

const struck = (times) => (times ? `Struck ${count(times, "time", "times")}` : "On, nothing struck yet");

function showFaults() {
  FAULTS.forEach((known, index) => {
    const card = $(`fault-${index}-card`);
    const on = permanent(known.fault);
    const once = standing().filter((one) => one.fault.times !== null && same(known.fault, one.fault)).length;
    card.classList.toggle("on", Boolean(on) || once > 0);
    card.querySelector("[role=switch]").setAttribute("aria-checked", String(Boolean(on)));
    const words = on ? struck(on.struck) : once ? `Waits for the next ${once === 1 ? "request" : `${once} requests`}` : "";
    const line = card.querySelector(".struck");
    if (line.textContent !== words) line.textContent = words;
  });
}

// --- around it ------------------------------------------------------------------------------------------------------

function showOverview() {
  const { users, groups, strangers, requests, faults } = state.overview;
  $("users-count").textContent = number(users);
  $("requests-count").textContent = number(requests);
  $("faults-count").textContent = faults.length ? `${number(faults.length)} on` : "";
  $("faults-count").classList.toggle("on", faults.length > 0);
  $("trouble").hidden = faults.length === 0;
  const names = [...new Set(faults.map((one) => nameOf(one.fault)))];
  say($("trouble-text"), faults.length ? `Switched on: ${names.join(", ")}.` : "");
  $("strangers").hidden = strangers === 0;
  say($("strangers"), strangers ? `${count(strangers, "profile", "profiles")} came with another token than ${state.overview.token}. Mixpanel takes such with success and shows them nowhere.` : "");
  showGroups(groups);
}

function say(place, text) {
  if (place.textContent !== text) place.textContent = text; // or a screen reader says it again each second
}

function showGroups(groups) {
  const keys = Object.keys(groups);
  $("group-label").hidden = keys.length === 0;
  const offered = ["", ...keys];
  if (JSON.stringify(offered) === $("group").dataset.offered) return;
  $("group").dataset.offered = JSON.stringify(offered);
  $("group").replaceChildren(...offered.map((key) => element("option", { value: key }, key || "Users")));
  if (!offered.includes(state.users.group)) state.users.group = "";
  $("group").value = state.users.group;
}

function refresh({ always = true } = {}) {
  return attempt(async () => {
    const overview = await ask("overview");
    const seen = JSON.stringify(overview);
    if (!always && seen === state.seen) return;
    state.seen = seen;
    state.overview = overview;
    showOverview();
    showFaults();
    if (state.view === "users") await showUsers();
    if (state.view === "requests") await showRequests();
    if ($("profile").open) await showProfile();
  });
}

async function follow() {
  const began = performance.now();
  if (!document.hidden) await refresh({ always: false });
  // A sandbox that is busy with a large run is asked less often.
  setTimeout(follow, Math.max(POLL_MS, 4 * (performance.now() - began)));
}

function show(view, { focus = false } = {}) {
  state.view = view;
  for (const name of ["users", "requests", "faults"]) $(`view-${name}`).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${view[0].toUpperCase()}${view.slice(1)} · sync-profiles sandbox`;
  if (focus) $("main").focus({ preventScroll: true });
  refresh();
}

function viewOf(hash) {
  const name = hash.slice(1);
  return ["users", "requests", "faults"].includes(name) ? name : "users";
}

function lookUp(changes) {
  Object.assign(state.users, { page: 1 }, changes);
  return attempt(showUsers);
}

function listen() {
  let typing;
  $("search").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => lookUp({ search: $("search").value }), TYPING_MS);
  });
  for (const head of document.querySelectorAll("#users-table th")) {
    head.querySelector("button").addEventListener("click", () => {
      const sort = head.dataset.sort;
      const again = sort === state.users.sort;
      lookUp({ sort, descending: again ? !state.users.descending : sort === "updated_at" });
    });
  }
  $("users-size").addEventListener("change", () => lookUp({ size: Number($("users-size").value) }));
  $("users-previous").addEventListener("click", () => lookUp({ page: state.users.page - 1 }));
  $("users-next").addEventListener("click", () => lookUp({ page: state.users.page + 1 }));
  $("group").addEventListener("change", () => lookUp({ group: $("group").value }));
  $("only-trouble").addEventListener("change", () => {
    state.requests = { page: 1, trouble: $("only-trouble").checked };
    attempt(showRequests);
  });
  for (const [id, step] of [["requests-previous", -1], ["requests-next", 1]]) {
    $(id).addEventListener("click", () => {
      state.requests.page += step;
      attempt(showRequests);
    });
  }
  $("profile-close").addEventListener("click", () => $("profile").close());
  $("profile").addEventListener("click", (event) => event.target === $("profile") && $("profile").close());
  $("profile").addEventListener("close", () => {
    rowButton(state.open)?.focus();
    state.open = null;
  });
  $("trouble-off").addEventListener("click", () => tell("faults/clear"));
  $("reset").addEventListener("click", () => $("confirm").showModal());
  $("confirm-no").addEventListener("click", () => $("confirm").close());
  $("confirm-yes").addEventListener("click", async () => {
    $("confirm").close();
    await tell("reset");
  });
  window.addEventListener("hashchange", () => show(viewOf(location.hash), { focus: true }));
  document.addEventListener("keydown", (event) => {
    const typingNow = event.target.closest("input, select, textarea, dialog");
    if (event.key !== "/" || typingNow || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (state.view !== "users") location.hash = "#users";
    $("search").focus();
  });
}

listen();
makeFaults();
show(viewOf(location.hash));
setTimeout(follow, POLL_MS);
