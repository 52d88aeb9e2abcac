"""Write the files of this folder: a network of torchlogix 0.2.2 for scikit-learn's digits, as its tools export it.

python tests/golden/torchlogix/make.py, with torch, torchlogix and scikit-learn installed (Python 3.12 or newer).
"""

import json
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torchlogix import Circuit
from torchlogix.layers import GroupSum, LogicDense

HERE = Path(__file__).parent
torch.manual_seed(1)
torch.set_num_threads(1)
images, digits = load_digits(return_X_y=True)
bits = torch.tensor(images >= 8, dtype=torch.float32)
labels = torch.tensor(digits)
model = torch.nn.Sequential(LogicDense(64, 150), LogicDense(150, 150), GroupSum(10, tau=4))
optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
for _ in range(400):
    rows = torch.randint(0, 1000, (100,))
    loss = torch.nn.functional.cross_entropy(model(bits[rows]), labels[rows])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
model.eval()
with torch.no_grad():
    scores = model(bits[:1000]).numpy() * 4
circuit = Circuit.from_model(model, [1, 64])
circuit.simplify()
circuit.write_c_code(str(HERE / "digits.c"))
circuit.write_json(str(HERE / "digits.json"))
(HERE / "packed.c").write_text(circuit.get_c_code(inline_single_use=True, pack_bits=32))
(HERE / "scores.json").write_text(
    json.dumps([" ".join(map(str, row)) for row in np.rint(scores).astype(int)], indent=0)
)
