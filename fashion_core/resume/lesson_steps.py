"""The steps of the lesson that this app comes from: the tutorial's code, and what to notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step: what it is called, the tutorial's code, and what to notice in its output."""

    title: str
    code: str
    notice: str


TRAIN = Step(
    "Train, and save a checkpoint at each epoch",
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
    "Two files appear in model_save, 0 and 1: one for each epoch, with the optimizer beside the weights.",
)
WEIGHTS = Step(
    "Save and load only the weights",
    """\
torch.save(model.state_dict(), 'model_weights.pth')

model = NeuralNetwork()
model.load_state_dict(torch.load('model_weights.pth'))
print(model)""",
    "The file holds numbers and their names alone: the class must be there to put them into.",
)
MODEL = Step(
    "Save and load the whole model",
    """\
torch.save(model, 'model.pth')

with torch.serialization.safe_globals([NeuralNetwork, nn.Flatten, nn.Sequential, nn.Linear, nn.ReLU]):
    model = torch.load('model.pth')
print(model)""",
    "No model = NeuralNetwork() is needed: the file names the class. Loading it calls what the file names, so today "
    "PyTorch wants to hear which classes are safe; the tutorial was written before that.",
)
RESUME = Step(
    "Go on from checkpoint 0",
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
    "Training goes on where the checkpoint stood. Order and randomness follow from seed and epoch here, so compare "
    "this Epoch 2 with that of step 1: digit for digit.",
)
CHECK = """\
checkpoint = torch.load(os.path.join("model_save",str(0)))
print(list(checkpoint))
print("epoch", checkpoint['epoch'], " loss", checkpoint['loss'])"""
