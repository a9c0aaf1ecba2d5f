// The page asks `updates` for what is newer than the last message that it has; the reply comes when there is something,
// or after 20 seconds. Everything is asked of where the page comes from.
const { handlers } = await (await fetch("config.json")).json();

const list = document.querySelector("#messages");
const form = document.querySelector("#form");
const state = document.querySelector("#state");
const { user, text } = form.elements;

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

const call = async (handler, event) => {
  const reply = await fetch(handlers[handler], { method: "POST", body: JSON.stringify(event) });
  if (!reply.ok) throw new Error(`${handler}: ${reply.status}`);
  const result = await reply.json();
  if (result.error) throw new Error(result.error);
  return result;
};

const say = (words) => {
  if (state.textContent !== words) state.textContent = words;
};

const time = (ts) => new Date(Number(ts.split("-")[0]));

const show = (message) => {
  const item = document.createElement("li");
  if (message.user === "") {
    item.className = "note";
  } else {
    const who = document.createElement("span");
    const name = document.createElement("b");
    const when = document.createElement("time");
    const date = time(message.ts);
    who.className = "who";
    name.textContent = message.user;
    when.dateTime = date.toISOString();
    when.textContent = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    who.append(name, when);
    item.append(who);
    if (message.user === user.value.trim()) item.className = "own";
  }
  item.append(message.text);
  list.append(item);
};

const showAll = (messages) => {
  // Whoever reads older ones is not taken away from them.
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  messages.forEach(show);
  if (atEnd) list.scrollTop = list.scrollHeight;
};

const follow = async () => {
  let ts = "0";
  let begun = false;
  let pauseMs = FIRST_PAUSE_MS;
  for (;;) {
    try {
      if (!begun) await call("init", {});
      begun = true;
      // What is there comes at once, what is new when it is there.
      const result = await call("updates", { ts });
      say("Connected");
      showAll(result.messages);
      ts = result.ts;
      pauseMs = FIRST_PAUSE_MS;
    } catch {
      say("No connection, trying again …");
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  }
};

user.value = localStorage.getItem("pychat-user") ?? "";
(user.value ? text : user).focus();

const send = async () => {
  localStorage.setItem("pychat-user", user.value.trim());
  const words = text.value;
  text.value = "";
  text.focus();
  try {
    await call("msg", { user: user.value, text: words });
  } catch (error) {
    say(`Not sent: ${error.message}`);
    // Unless the next one is begun already.
    text.value ||= words;
  }
};

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void send();
});

await follow();
