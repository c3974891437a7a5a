"""Decides whether a completion gives the expected answer.

In: the kind of match from the configuration, the completion, the prompt's expected answer. Out: right or wrong.
Knows nothing of models, prompts or runs. Numbers are compared as decimals, never as floats.

Kinds (`DataConfig.answer_match`):

- exact: the whole completion is the expected text, white space and Unicode normal form aside.
- numeric: the number that the completion marks as its answer ("Answer: 33", "#### 33", "\\boxed{33}"), else its last
  number, equals the expected one at the precision that the expected one shows (see `numbers_agree`).
- last_number: the last number of the completion equals the expected one exactly. For tasks with the answer last.
- regex: the first group of the pattern's last match is the expected text, or the same number.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import Literal, TypeVar

from opd.config import DataConfig
from opd.errors import ConfigError

MatchKind = Literal["none", "exact", "numeric", "last_number", "regex"]

T = TypeVar("T")
# First letters of scale words and suffixes to powers of ten; "t" alone is a trillion, "th…" a thousand.
_SCALES = {"th": 3, "k": 3, "m": 6, "b": 9, "t": 12}
# Minus signs and the dashes used as one, to the ASCII hyphen; full-width characters to ASCII ones. The em dash stays:
# it separates words.
_PLAIN = str.maketrans(
    {**dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\ufe63\uff0d", "-"), "\uff0b": "+", "\uff05": "%", "\uff0e": "."}
    | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
)
# Spaces that only typesetters use between groups of digits, the Swiss apostrophe and the underscore. A plain space
# never groups in running text: "in 2023 450 units" holds two numbers.
_GROUP = "\u00a0\u2007\u2009\u202f'\u2019_"
_CURRENCY = r"(?:US|CA|AU|HK)?[$\u20ac\u00a3\u00a5\u20b9]"
_NUMBER = re.compile(
    rf"""
    (?<![A-Za-z0-9_])(?<![A-Za-z0-9_]\.)       # not inside a word (Q3, FY24) or a version (1.2.3)
    (?P<sign>(?<![)\]%])[-+])?(?:{_CURRENCY}\s?)?(?P<inner>[-+])?
    (?P<digits>(?>
        [0-9]{{1,3}}(?:,[0-9]{{3}})+(?![0-9])(?:\.[0-9]+)?                    # 1,234,567.89
      | [0-9]{{1,3}}(?:\.[0-9]{{3}})+,[0-9]+(?![0-9,.]*[0-9])                 # 1.234.567,89
      | [0-9]{{1,3}}(?:\.[0-9]{{3}}){{2,}}(?![0-9]|[,.][0-9])                  # 1.234.567
      | [0-9]{{1,3}}(?:[{_GROUP}][0-9]{{3}})+(?![0-9])(?:[.,][0-9]+)?         # 1 234 567.89 with a hard space
      | (?<![0-9],)[0-9]+,[0-9]{{1,2}}(?![0-9,]|\.[0-9])                     # 12,5
      | [0-9]+(?:\.[0-9]+)?                                                  # 1234.5
      | \.[0-9]+                                                             # .5
    ))
    (?P<exponent>(?>[eE][-+]?[0-9]{{1,3}}(?![0-9A-Za-z]))?)
    (?!(?:st|nd|rd|th)\b)                                                     # 3rd is a rank
    (?P<percent>\s?(?:%|percent\b|per\scent\b))?
    (?:(?P<scale>\s?(?:thousand|million|billion|trillion|mn|mio|bn|tn)|[kmbt])(?![A-Za-z0-9]))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MARK = re.compile(
    r"(?:\banswer\b(?:\W{0,4}(?:is|was)\b\s*[:=]?|\W{0,4}?[:=])|\#{4}|\\boxed\s*\{)"
    r"\W{0,6}?(?=[-+]?(?:US|CA|AU|HK)?[$\u20ac\u00a3\u00a5\u20b9]?\s?[-+]?\.?[0-9])",
    re.IGNORECASE,
)
# Digits beyond this are not looked at; Python's default of 28 would round long numbers.
_EXACT = Context(prec=2000)


@dataclass(frozen=True)
class Number:
    """A number as it was written.

    `unit` is the value of its last decimal place (0 for a number without decimals: those are exact); `percent` tells
    whether a percent sign followed, `scale` the power of ten of a word such as million (already in `value`).
    """

    value: Decimal
    unit: Decimal
    percent: bool = False
    scale: int = 0


def match(kind: MatchKind, completion: str, expected: str, pattern: str | None = None) -> bool:
    """Whether `completion` gives the answer `expected`.

    Settings and `expected` are checked before the completion is looked at, so `match(kind, "", expected, pattern)`
    tells whether a prompt can be graded at all.

    Raises:
        ConfigError: the kind is none, the pattern is missing or broken, or a numeric kind meets an expected answer
            that holds no number, or several.
    """
    if kind == "exact":
        return _normal(completion) == _normal(expected)
    if kind == "regex":
        found = _pattern_answer(completion, pattern)
        return found is not None and _same_text_or_number(found, expected)
    if kind == "none":
        raise ConfigError(
            "Answers cannot be checked: answer_match is none.",
            hint="Set data.answer_match to exact, numeric, last_number or regex.",
        )
    right = parse_number(expected) or _only(find_numbers(expected))
    if right is None:
        raise ConfigError(
            f"The expected answer {expected[:60]!r} is not one number, but answer_match is {kind}.",
            hint="Give numbers in the prompts' `answer` field, or set data.answer_match to exact.",
        )
    if kind == "last_number":
        last = _last(find_numbers(completion))
        return last is not None and _readings_meet(last, right, tolerance=Decimal(0))
    stated = _stated_number(completion)
    return stated is not None and numbers_agree(stated, right)


def grade(data: DataConfig, completion: str, expected: str | None) -> bool | None:
    """`match` with the run's own settings; None where the prompt has no checkable answer."""
    if data.answer_match == "none" or expected is None:
        return None
    return match(data.answer_match, completion, expected, data.answer_pattern)


def parse_number(text: str) -> Number | None:
    """The number that `text` consists of, or None.

    Currency signs, percent signs, scale words (million, bn, k) and accounting brackets, "(1,234)" for -1,234, are
    understood here.
    """
    plain = text.translate(_PLAIN).strip().rstrip(".!").strip()
    # Nothing but one number can be meant here, so plain spaces may group digits.
    plain = re.sub(r"(?<=[0-9]) (?=[0-9]{3}(?![0-9]))", "\u00a0", plain)
    bracketed = re.fullmatch(rf"({_CURRENCY})?\(([^()]*)\)(.*)", plain)
    if bracketed:
        plain = "".join(part or "" for part in bracketed.groups())
    found = _NUMBER.fullmatch(plain.strip())
    if not found:
        return None
    number = _read(found)
    return replace(number, value=number.value.copy_abs().copy_negate()) if bracketed else number


def find_numbers(text: str) -> list[Number]:
    """All numbers in running text, in order. A hyphen after a digit or letter is an operator or a dash, not a sign."""
    return [_read(found) for found in _NUMBER.finditer(text.translate(_PLAIN))]


def numbers_agree(found: Number, expected: Number) -> bool:
    """Whether `found` is `expected` at the precision that `expected` shows.

    An expected number with decimals allows half a unit of its last place (12.5 accepts 12.46 and 12.54); one without
    decimals is exact. A percent sign on one side only may be read as percentage points or as a fraction: 12.5 % and
    0.125 agree with each other and with "12.5%", but 12.5 does not agree with "0.125". A scale word on the found side
    only may be the question's unit: "1.2 million" agrees with 1200000 and with 1.2.
    """
    return _readings_meet(found, expected, tolerance=expected.unit / 2)


def _readings_meet(found: Number, expected: Number, tolerance: Decimal) -> bool:
    pairs = [(found.value, expected.value, tolerance)]
    if found.percent and not expected.percent:
        pairs.append((_shifted(found.value, -2), expected.value, tolerance))
    elif expected.percent and not found.percent:
        pairs.append((found.value, _shifted(expected.value, -2), _shifted(tolerance, -2)))
    if found.scale and not expected.scale:
        pairs.append((_shifted(found.value, -found.scale), expected.value, tolerance))
    return any(_EXACT.subtract(left, right).copy_abs() <= allowed for left, right, allowed in pairs)


def _read(found: re.Match[str]) -> Number:
    digits = re.sub(f"[{_GROUP}]", "", found["digits"])
    whole, comma, tail = digits.rpartition(",")
    if comma and ("." in whole or ("," not in whole and "." not in tail and len(tail) != 3)):
        digits = f"{whole.replace('.', '')}.{tail}"  # a decimal comma
    elif comma:
        digits = digits.replace(",", "")
    elif digits.count(".") > 1:
        digits = digits.replace(".", "")
    value = _EXACT.create_decimal(digits + found["exponent"])
    word = (found["scale"] or "").strip().lower()
    shift = next((power for start, power in _SCALES.items() if word.startswith(start)), 0)
    exponent = value.as_tuple().exponent
    has_decimals = "." in digits and isinstance(exponent, int)
    unit = _shifted(Decimal(1), int(exponent) + shift) if has_decimals else Decimal(0)
    if "-" in (found["sign"], found["inner"]):
        value = value.copy_negate()
    return Number(_shifted(value, shift), unit, bool(found["percent"]), shift)


def _stated_number(text: str) -> Number | None:
    """The number behind the last mark of an answer, else the last number."""
    plain = text.translate(_PLAIN)
    mark = _last(list(_MARK.finditer(plain)))
    found = _NUMBER.search(plain, mark.end()) if mark else None
    return _read(found) if found else _last(find_numbers(plain))


def _pattern_answer(completion: str, pattern: str | None) -> str | None:
    try:
        compiled = re.compile(pattern or "")
    except re.error as error:
        raise ConfigError(
            f"data.answer_pattern is not a regular expression: {error}.", hint="Correct the pattern."
        ) from None
    if compiled.groups < 1:
        raise ConfigError(
            "data.answer_pattern has no group, expected one around the answer.",
            hint=r"Put the answer in brackets, for example Answer: (\d+).",
        )
    found = _last(list(compiled.finditer(completion)))
    return found[1] if found else None


def _same_text_or_number(found: str, expected: str) -> bool:
    if _normal(found) == _normal(expected):
        return True
    left, right = parse_number(found), parse_number(expected)
    return left is not None and right is not None and numbers_agree(left, right)


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _shifted(value: Decimal, power: int) -> Decimal:
    return _EXACT.scaleb(value, Decimal(power))


def _last(items: list[T]) -> T | None:
    return items[-1] if items else None


def _only(items: list[T]) -> T | None:
    return items[0] if len(items) == 1 else None
