/** A machine that is gone is known to be after three checks, one every 2 s, or when its registration of 10 s ends. */
const NOTICED_MS = 10_000;
/** What a call may come to that was with a machine as it went, or was sent there before that was noticed: perhaps it was run. */
const LOST = new Set([502, 504]);
/** What it may come to at any time, and then was not run: nobody takes it. Machines that are slow miss checks, too. */
const REFUSED = 503;
const MOST_SHOWN = 10;
/** With fewer nothing would be shown. */
const LEAST_REPLIES = 300;

/**
 * What is wrong with the outcomes of a load, a line each: calls that were run twice, that got no answer, or failed with nothing that excuses it.
 * `losses` is when machines were lost, on the clock of the outcomes.
 */
export const judge = (load, ledger, losses, clients) => {
  const { outcomes, sent } = load;
  const problems = [];
  const runs = ({ number }) => ledger.runsOf(number);
  const line = (outcome) => {
    const [from, to] = [outcome.sentMs, outcome.endedMs].map((ms) => ((ms - load.beganMs) / 1000).toFixed(1));
    const text = outcome.text.trim().slice(0, 120);
    return `${outcome.number}, ${from} to ${to} s of the load: ${outcome.status} ${text}, run ${runs(outcome)} times`;
  };
  const none = (what, wrong) => {
    for (const outcome of wrong.slice(0, MOST_SHOWN)) problems.push(`${what}: ${line(outcome)}`);
    if (wrong.length > MOST_SHOWN) problems.push(`${what}: ${wrong.length - MOST_SHOWN} more`);
  };
  const replied = outcomes.filter(({ status }) => status === 200);
  const failed = outcomes.filter(({ status }) => status !== 200);
  const excused = ({ sentMs, endedMs }) =>
    losses.some((lostMs) => endedMs >= lostMs && sentMs <= lostMs + NOTICED_MS);
  const refused = failed.filter(({ status }) => status === REFUSED);
  const lost = failed.filter(({ status }) => status !== REFUSED);

  if (outcomes.length !== sent) problems.push(`${sent} calls were sent, ${outcomes.length} answered`);
  if (replied.length < LEAST_REPLIES) problems.push(`only ${replied.length} calls were replied to`);
  none(
    "run more than once",
    outcomes.filter((outcome) => runs(outcome) > 1),
  );
  none(
    "replied, and not run once",
    replied.filter((outcome) => runs(outcome) !== 1),
  );
  none(
    "another call's reply",
    replied.filter(({ number, text }) => text !== `"${number}"`),
  );
  none(
    "failed otherwise than it may",
    lost.filter(({ status }) => !LOST.has(status)),
  );
  none(
    "lost without a machine going",
    lost.filter((outcome) => !excused(outcome)),
  );
  none(
    "refused, and run",
    refused.filter((outcome) => runs(outcome) > 0),
  );
  // Each client has one call at a time, and when that one is given up it is known that the machine is gone.
  if (lost.length > clients * losses.length)
    problems.push(`${lost.length} calls of ${clients} clients were lost with ${losses.length} machines`);
  return problems;
};
