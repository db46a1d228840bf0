// Shows the numbers of a run, and hears newer ones, and the rows of its charts, until the page is left.

const asRows = ({ columns, data }) => data.map((row) => Object.fromEntries(row.map((value, i) => [columns[i], value])));

const asSources = (chart) => Object.fromEntries(Object.entries(chart).map(([name, table]) => [name, asRows(table)]));

const feedCharts = ({ losses, accuracy }) => {
  document.body.value = { losses: asSources(losses), accuracy: asSources(accuracy) };
  document.body.dispatchEvent(new Event("fed")); // the charts listen to it: filled.py
};

export default function ({ data, parentElement, setTriggerValue }) {
  const numbers = parentElement.querySelector("section");
  const socket = new WebSocket(data.address);
  let waiting;

  const leave = () => {
    clearTimeout(waiting);
    socket.onclose = socket.onmessage = null;
    socket.close();
  };

  const runPageAgain = () => {
    leave();
    setTriggerValue("outdated", true);
  };

  parentElement.leave?.(); // what the page's last run left here
  parentElement.leave = leave;
  numbers.innerHTML = data.numbers;
  socket.onmessage = (message) => {
    const feed = JSON.parse(message.data);
    if (feed.drawn !== data.drawn) return runPageAgain();
    numbers.innerHTML = feed.numbers;
    feedCharts(feed);
  };
  // Where no feed gets through, the page runs again as often as it would have come.
  socket.onclose = () => (waiting = setTimeout(runPageAgain, data.seconds * 1000));

  return () => {
    leave();
    document.body.value = undefined;
  };
}
