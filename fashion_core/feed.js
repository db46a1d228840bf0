// Shows the numbers of a run, and hears newer ones, and the rows of its charts, until the page is left.

const asRows = ({ columns, data }) => data.map((row) => Object.fromEntries(row.map((value, i) => [columns[i], value])));

const asSources = (chart) => Object.fromEntries(Object.entries(chart).map(([name, table]) => [name, asRows(table)]));

const feedCharts = ({ losses, accuracy }) => {
  document.body.value = { losses: asSources(losses), accuracy: asSources(accuracy) };
  // The charts listen: filled.py. Vega makes room for what it has drawn only when it runs the next time.
  document.body.dispatchEvent(new Event("fed"));
  document.body.dispatchEvent(new Event("fitted"));
};

const webSocketAddress = (path) => {
  const address = new URL(path, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  return address;
};

export default function ({ data, parentElement, setTriggerValue }) {
  const numbers = parentElement.querySelector("section");
  let socket, waiting, shown;

  const runPageAgain = () => {
    document.body.value = undefined; // a chart that is drawn anew has newer rows
    setTriggerValue("outdated", true);
  };

  const take = (told) => {
    const feed = JSON.parse(told);
    if (feed.drawn !== data.drawn) return runPageAgain();
    if (told === shown) return;
    shown = told;
    numbers.innerHTML = feed.numbers;
    feedCharts(feed);
  };

  // Where no feed gets through, the page runs again as often as it would have come.
  const listenLater = () => (waiting = setTimeout(() => (runPageAgain(), listen()), data.seconds * 1000));

  const listen = () => {
    socket = new WebSocket(webSocketAddress(data.address));
    socket.onopen = () => socket.send(data.ticket);
    socket.onmessage = (message) => take(message.data);
    socket.onclose = listenLater;
  };

  const leave = () => {
    clearTimeout(waiting);
    socket.onclose = socket.onmessage = null;
    socket.close();
  };

  parentElement.leave?.(); // what the page's last run left here
  parentElement.leave = leave;
  numbers.innerHTML = data.numbers;
  listen();

  return () => {
    leave();
    document.body.value = undefined;
  };
}
