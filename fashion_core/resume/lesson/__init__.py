"""The two runs that carry out the lesson: two epochs, and one more from checkpoint 0."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from fashion_core.config import TrainConfig, parse_config
from fashion_core.errors import RunStateError
from fashion_core.resume import plan, texts
from fashion_core.resume.plan import ResumeRequest
from fashion_core.runs import queue
from fashion_core.runs.run import Run, epoch_records
from fashion_core.runs.store import RunStore

_FIRST_NAME, _LAST_NAME = "Lesson", "Lesson, resumed"
_LAST_STEP = ResumeRequest(epoch=0, additional=1, overrides={"name": _LAST_NAME})


def lesson_config(given: Mapping[str, Any]) -> TrainConfig:
    """The tutorial's settings, two epochs, on the chosen dataset and pixels. Raises ``ConfigError``."""
    return parse_config({"name": _FIRST_NAME, **given})


def begin(store: RunStore, given: Mapping[str, Any]) -> Run:
    """Start the lesson's first run. Raises what ``queue.start`` raises."""
    return queue.start(store, lesson_config(given), tags=("lesson",))


def resumed_run(store: RunStore, run: Run) -> Run | None:
    """The run that the last step began, if it has; runs resumed from there by hand do not count, nor do twins."""
    for child in store.children(run, run.checkpoint_path(_LAST_STEP.epoch)):
        record = child.record
        is_plain = record.twin_of is None and record.resumption and not record.resumption.changes
        if is_plain and record.config.name == _LAST_NAME:
            return child
    return None


def last_run(store: RunStore, run: Run) -> Run:
    """The resumed run once it has finished. Raises ``RunStateError`` before that."""
    child = resumed_run(store, run)
    if child is None or child.state() != "finished":
        raise RunStateError(texts.LESSON_NOT_FINISHED.format(run=run.id))
    return child


def check(run: Run) -> None:
    """Raise ``RunStateError`` if the run is not the lesson's: opening such an address must not start anything."""
    if run.record.config.name != _FIRST_NAME:
        raise RunStateError(texts.NOT_A_LESSON.format(run=run.id))


def is_due(store: RunStore, run: Run) -> bool:
    return run.state() == "finished" and resumed_run(store, run) is None


def continue_run(store: RunStore, run: Run) -> Run | None:
    """Begin the last step once the first run has finished; two pages that ask at the same time start it only once.

    Raises ``RunStateError`` for a run that is not the lesson's, and what ``plan.create`` raises.
    """
    check(run)
    if not is_due(store, run):
        return resumed_run(store, run)
    run.record.check_images()
    with run.writing():
        child = resumed_run(store, run) or plan.create(store, run, [_LAST_STEP])[0]
    queue.advance(store)
    return child


def progress(run: Run, child: Run | None) -> tuple[float, float | None]:
    """The share of both runs' batches that have been trained, and the seconds left, once the rate is known."""
    runs, config = [run, *([child] if child else [])], run.record.config
    per_epoch, rate = config.batches_per_epoch, runs[-1].status.images_per_second
    places = [(one.status.epoch - one.record.first_epoch, one.status.batch) for one in runs]
    done = sum(max(0, epochs) * per_epoch + batch for epochs, batch in places)
    total = (config.epochs + _LAST_STEP.additional) * per_epoch
    return done / total, (total - done) * config.batch_size / rate if rate else None


def printed_by(run: Run) -> str:
    """The lines that the tutorial's loops print, from what the run measured."""
    epochs, check = epoch_records(run), run.load_check
    lines = [
        f"Epoch {epoch['epoch'] + 1}\n-------------------------------\n"
        f"Test Error:\n Accuracy: {epoch['accuracy']:>0.1%}, Avg loss: {epoch['loss']:>8f}\n"
        for epoch in epochs
    ]
    if check and epochs:
        lines.append(f"loss_last {check.loss_last}\nloss_now {epochs[-1]['loss']}")
    return "\n".join(lines) + ("\nDone!" if run.state() == "finished" and not check else "")


class Step(NamedTuple):
    title: str
    code: str  # the tutorial's
    notice: str  # what to see in its output


TRAIN = Step(
    texts.TRAIN_TITLE,
    """\
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

epochs = 2
for t in range(epochs):
    print(f"Epoch {t+1}\\n-------------------------------")
    train_loop(train_dataloader, model, loss_fn, optimizer)
    loss = test_loop(test_dataloader, model, loss_fn)
    torch.save({
        'epoch': t,
        'model_state_dict': model.state_dict(),
        'optimizer_state_dict': optimizer.state_dict(),
        'loss': loss,
    }, os.path.join("model_save",str(t)))
print("Done!")""",
    texts.TRAIN_NOTICE,
)
WEIGHTS = Step(
    texts.WEIGHTS_TITLE,
    """\
torch.save(model.state_dict(), 'model_weights.pth')

model = NeuralNetwork()
model.load_state_dict(torch.load('model_weights.pth'))
print(model)""",
    texts.WEIGHTS_NOTICE,
)
MODEL = Step(
    texts.MODEL_TITLE,
    """\
torch.save(model, 'model.pth')

with torch.serialization.safe_globals([NeuralNetwork, nn.Flatten, nn.Sequential, nn.Linear, nn.ReLU]):
    model = torch.load('model.pth')
print(model)""",
    texts.MODEL_NOTICE,
)
RESUME = Step(
    texts.RESUME_TITLE,
    """\
model = NeuralNetwork()
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.001)

checkpoint = torch.load(os.path.join("model_save",str(0)))
model.load_state_dict(checkpoint['model_state_dict'])
optimizer.load_state_dict(checkpoint['optimizer_state_dict'])
epoch = checkpoint['epoch']
loss_last = checkpoint['loss']

model.train()
train_loop(train_dataloader, model, loss_fn, optimizer)
loss_now = test_loop(test_dataloader, model, loss_fn)
print("loss_last", loss_last)
print("loss_now", loss_now)""",
    texts.RESUME_NOTICE,
)
CHECK = """\
checkpoint = torch.load(os.path.join("model_save",str(0)))
print(list(checkpoint))
print("epoch", checkpoint['epoch'], " loss", checkpoint['loss'])"""
WITH_ADAM = """\
optimizer = torch.optim.Adam(model.parameters())
for parameter in model.parameters():
    parameter.grad = torch.zeros_like(parameter)
optimizer.step()

checkpoint['optimizer_state_dict'] = optimizer.state_dict()
torch.save(checkpoint, 'checkpoint_with_adam')"""
FILES = {
    "model_weights.pth": texts.WEIGHTS_FILE,
    "model.pth": texts.MODEL_FILE,
    "model_save/0": texts.CHECKPOINT_FILE,
    "checkpoint_with_adam": texts.ADAM_FILE,
}
