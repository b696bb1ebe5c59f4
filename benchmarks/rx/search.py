# SPDX-License-Identifier: Apache-2.0
"""The highest rate at which nothing is lost, in the manner of MLRsearch (draft-ietf-bmwg-mlrsearch): bisection down to a
relative width with few trials at each rate, then as many at the lower bound as the goal asks. A rate is good when at most
`exceed` of its time was in trials that lost something, the draft's exceed ratio. A trial that was disturbed from outside
and lost something says nothing: it is repeated, and when that does not end, there is no result."""
import dataclasses


class Disturbed(Exception):
    """More trials than `patience` times the wanted ones were disturbed."""


@dataclasses.dataclass(frozen=True)
class Goals:
    trial: float = 1.0  # seconds of one trial
    duration: float = 21.0  # of the trials that make the last rate good or bad, in sum
    first: float = 3.0  # ... and those before it
    width: float = 0.005  # of the interval that is left, relative
    exceed: float = 0.5
    patience: float = 3.0


GOALS = Goals()
QUICK = Goals(trial=0.2, duration=1.0, first=0.6, width=0.05)
FIRST_GUESS = 0.8  # of the rate that nobody expects to hold


def holds(trial, rate, duration, goals):
    """Trials at one rate until it is decided. trial(rate, seconds) -> True when nothing was lost, None: disturbed."""
    good = bad = disturbed = 0.0
    while bad <= goals.exceed * duration:
        if good >= (1 - goals.exceed) * duration:
            return True
        held = trial(rate, goals.trial)
        if held is None:
            disturbed += goals.trial
            if disturbed > goals.patience * duration:
                raise Disturbed
        elif held:
            good += goals.trial
        else:
            bad += goals.trial
    return False


def lossless(trial, most, goals=GOALS):
    """most: a rate nobody expects to hold. 0 when none holds."""
    good, bad = 0.0, most
    while bad >= most / 1000:
        settled = good > 0 and (bad - good) / bad <= goals.width
        middle = FIRST_GUESS * most if (good, bad) == (0.0, most) else (good + bad) / 2
        rate = good if settled else middle
        if holds(trial, rate, goals.duration if settled else goals.first, goals):
            if settled:
                return good
            good = rate
        else:
            # What held for a short time may have been luck.
            bad = rate
            good = 0.9 * rate if settled else good
    return 0.0
