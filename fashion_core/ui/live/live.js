// Shows the numbers of a run and receives newer ones, with the rows of its charts, until the page is left.

const asRows = ({ columns, data }) => data.map((row) => Object.fromEntries(row.map((value, i) => [columns[i], value])));

const asSources = (chart) => Object.fromEntries(Object.entries(chart).map(([name, table]) => [name, asRows(table)]));

const updateCharts = ({ losses, accuracy }) => {
  document.body.value = { losses: asSources(losses), accuracy: asSources(accuracy) };
  // The charts listen: charts/base.py. Vega makes room for what it has drawn only when it runs the next time.
  document.body.dispatchEvent(new Event("fed"));
  document.body.dispatchEvent(new Event("fitted"));
};

const webSocketAddress = (path) => {
  const address = new URL(path, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  return address;
};

const SILENCE_MS = 15000; // much longer than the server takes from one message to the next
const RETRY_MS = 2000; // a run of the page takes a while, and may get lost

export default function ({ data, parentElement, setTriggerValue }) {
  const numbers = parentElement.querySelector("section");
  let socket, waiting, latest, shown;
  let asked = -Infinity;

  const runPageAgain = () => {
    if (performance.now() - asked < RETRY_MS) return;
    asked = performance.now();
    document.body.value = undefined; // a redrawn chart has newer rows
    setTriggerValue("outdated", true);
  };

  const take = (message) => {
    latest = message ? JSON.parse(message) : latest; // empty: nothing new, but a rerun that got lost is asked for again
    if (latest.drawn !== data.drawn) return runPageAgain();
    if (!message || message === shown) return;
    shown = message;
    numbers.innerHTML = latest.numbers;
    updateCharts(latest);
  };

  const leave = () => {
    clearTimeout(waiting);
    socket.onclose = socket.onmessage = null;
    socket.close();
  };

  // Where no messages get through, runs of the page replace them.
  const giveUpAfter = (milliseconds) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      leave();
      runPageAgain();
      listen();
    }, milliseconds);
  };

  const listen = () => {
    socket = new WebSocket(webSocketAddress(data.address));
    socket.onopen = () => socket.send(data.ticket);
    socket.onmessage = (message) => {
      giveUpAfter(SILENCE_MS);
      take(message.data);
    };
    socket.onclose = () => giveUpAfter(data.seconds * 1000);
    giveUpAfter(SILENCE_MS);
  };

  const end = () => {
    leave();
    document.body.value = undefined;
  };

  parentElement.end?.(); // what the page's last run left here
  parentElement.end = end;
  numbers.innerHTML = data.numbers;
  listen();
  return end;
}
