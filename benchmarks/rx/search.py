# SPDX-License-Identifier: Apache-2.0
"""The highest rate at which nothing is lost, in the manner of MLRsearch (draft-ietf-bmwg-mlrsearch): bisection with short
trials down to a relative width, then trials at the lower bound until enough time without loss has been seen; a loss on
the way lowers the upper bound and the bisection goes on."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Goals:
    trial: float = 1.0  # seconds of one trial
    duration: float = 21.0  # seconds without loss, in sum, that make a rate good
    width: float = 0.005  # of the interval that is left, relative


GOALS = Goals()
QUICK = Goals(trial=0.2, duration=0.4, width=0.05)
MOST_TRIALS = 200


def lossless(trial, most, goals=GOALS):
    """trial(rate, seconds) -> True when nothing was lost. most: a rate nobody expects to hold. 0 when none holds."""
    good, bad, seen, trials = 0.0, most, 0.0, 0
    least = most / 1000
    while trials < MOST_TRIALS:
        settled = good > 0 and (bad - good) / bad <= goals.width
        if settled and seen >= goals.duration:
            return good
        if bad < least:
            return 0.0
        rate = good if settled else (good + bad) / 2
        trials += 1
        if trial(rate, goals.trial):
            seen = seen + goals.trial if rate == good else goals.trial
            good = rate
        else:
            # What held before may have been luck.
            bad, seen = rate, 0.0
            good = 0.9 * rate if rate == good else good
    return good if seen > 0 else 0.0
