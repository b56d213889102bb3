"""PyPOTS' CSDI or gluonts' DeepAR, in an environment of their own: `make install-peers-series`.

    .venv-peers-series/bin/python benchmarks/series_peer_sides.py deepar WINDOWS.npz SAMPLES.npz --seconds 60 --seed 0

benchmarks/series_peers.py writes the windows, calls this and judges the samples. Each peer trains by its own code for
so many CPU seconds, with the settings of its paper or its own defaults. Values are in standard deviations, NaN where
there is none or where it is to be filled in.
"""

import argparse
import os
import time
import warnings
from typing import NamedTuple

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402 - after the numbers of threads
import torch  # noqa: E402

warnings.filterwarnings("ignore")
PROBED = 20  # updates that tell what one costs


class Answer(NamedTuple):
    """Samples [windows, m, columns, steps], CPU seconds of the training and of the samples, and updates."""

    samples: np.ndarray
    training: float
    sampling: float
    updates: int


def deepar(data: dict[str, np.ndarray], seconds: float, seed: int, m: int) -> Answer:
    """Each column is a series of its own."""
    import lightning.pytorch as pl
    import pandas as pd
    from gluonts.dataset.common import ListDataset
    from gluonts.torch.model.deepar import DeepAREstimator

    class Clock(pl.Callback):
        began = updates = 0

        def on_train_start(self, trainer, module):
            self.began = time.process_time()

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            self.updates += 1
            if time.process_time() - self.began >= seconds:
                trainer.should_stop = True

    pl.seed_everything(seed)
    frequency, horizon = str(data["frequency"]), int(data["horizon"])
    series, starts, histories = data["series"], data["test_starts"], data["test_histories"]
    clock = Clock()
    lags = [int(lag) for lag in data["lags"]]
    estimator = DeepAREstimator(
        freq=frequency,
        prediction_length=horizon,
        context_length=histories.shape[2] - max(lags),
        lags_seq=lags,
        num_parallel_samples=m,
        trainer_kwargs={
            "max_epochs": 10**6,
            "accelerator": "cpu",
            "callbacks": [clock],
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "min_epochs": 0,
        },
    )
    training = ListDataset(
        [{"start": pd.Period(str(data["start"]), frequency), "target": column} for column in series], freq=frequency
    )
    predictor = estimator.train(training)
    spent = time.process_time() - clock.began
    asked = ListDataset(
        [
            {"start": pd.Period(str(start), frequency), "target": column}
            for start, history in zip(starts, histories, strict=True)
            for column in history
        ],
        freq=frequency,
    )
    torch.manual_seed(seed)
    began = time.process_time()
    samples = np.stack([forecast.samples for forecast in predictor.predict(asked)])
    sampling = time.process_time() - began
    windows, columns = histories.shape[:2]
    samples = samples.reshape(windows, columns, m, horizon).swapaxes(1, 2)
    return Answer(samples, spent, sampling, clock.updates)


def csdi(data: dict[str, np.ndarray], seconds: float, seed: int, m: int) -> Answer:
    """Windows filled in, after as many updates as fit into the seconds.

    An epoch of all windows may take longer. So there is one, of as many windows as those updates read: all of them, so
    many times, and some drawn from all. The rate falls at 75 % and 90 % of the updates, as in the paper.
    """
    from pypots.imputation import CSDI
    from pypots.optim import Adam
    from pypots.optim.lr_scheduler import MultiStepLR
    from pypots.utils.random import set_random_seed

    train, test = (data[name].swapaxes(1, 2) for name in ("train", "test"))
    batch = 16  # of the paper
    random = np.random.default_rng(seed)

    def trained(updates: int) -> "tuple[CSDI, float]":
        set_random_seed(seed)
        falls = MultiStepLR([updates * 3 // 4, updates * 9 // 10])
        its = CSDI(
            n_steps=train.shape[1],
            n_features=train.shape[2],
            n_layers=4,
            n_heads=8,
            n_channels=64,
            d_time_embedding=128,
            d_feature_embedding=16,
            d_diffusion_embedding=128,
            n_diffusion_steps=50,
            target_strategy="mix",
            batch_size=batch,
            epochs=1,
            optimizer=Adam(1e-3, weight_decay=1e-6, lr_scheduler=falls),
            device="cpu",
            model_saving_strategy=None,
            verbose=False,
        )
        times, rest = divmod(updates * batch, len(train))
        some = np.sort(random.choice(len(train), rest, replace=False))
        windows = np.concatenate([np.tile(np.arange(len(train)), times), some])
        began = time.process_time()
        its.fit({"X": train[windows]})
        return its, time.process_time() - began

    trained(PROBED // 2)  # the first updates take longer
    updates = max(PROBED, round(seconds / trained(PROBED)[1] * PROBED))
    its, spent = trained(updates)
    began = time.process_time()
    filled = its.predict({"X": test}, n_sampling_times=m)["imputation"]  # [windows, m, steps, columns]
    return Answer(filled.swapaxes(2, 3), spent, time.process_time() - began, updates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("deepar", "csdi"))
    parser.add_argument("windows")
    parser.add_argument("samples")
    parser.add_argument("--seconds", type=float, required=True, help="CPU seconds of training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=30, help="samples of each window")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with np.load(args.windows, allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    side = deepar if args.peer == "deepar" else csdi
    np.savez(args.samples, **side(data, args.seconds, args.seed, args.each)._asdict())


if __name__ == "__main__":
    main()
