"""Names of classes: in which order they are numbered, and whether two lists mean the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from timm.utils.misc import natural_key

from a2mim.errors import InputError

CLASS_ORDERS = ("name", "number")


def sort_classes(names: Iterable[str], class_order: str | None = None) -> tuple[str, ...]:
    """Class names in the order in which they are numbered.

    Args:
        names: of the folders.
        class_order: ``name``: by characters, as torchvision does (10 before 2); ``number``: digits as numbers and
            letters without case, as timm does (2 before 10). None: by number where all names are whole numbers, by
            characters otherwise.

    Raises:
        InputError: another order.

    >>> sort_classes(["10", "9", "2"]), sort_classes(["10", "9", "2"], "name"), sort_classes(["b", "a10", "a9"])
    (('2', '9', '10'), ('10', '2', '9'), ('a10', 'a9', 'b'))
    """
    if class_order not in (None, *CLASS_ORDERS):
        raise InputError(f"class order {class_order!r} must be one of {', '.join(CLASS_ORDERS)}")
    by_characters = sorted(names)
    if class_order == "number" or (class_order is None and all(is_whole_number(name) for name in by_characters)):
        return tuple(sorted(by_characters, key=natural_key))
    return tuple(by_characters)


def is_whole_number(name: str) -> bool:
    """Whether a name consists of the digits 0 to 9 alone.

    >>> is_whole_number("007"), is_whole_number("1.5")
    (True, False)
    """
    return name.isascii() and name.isdigit()


def order_is_ambiguous(names: Iterable[str]) -> bool:
    """Whether torchvision and timm number classes of these names differently.

    >>> order_is_ambiguous(["1", "2", "10"]), order_is_ambiguous(["cat", "dog"])
    (True, False)
    """
    names = tuple(names)
    return sort_classes(names, "name") != sort_classes(names, "number")


def are_names(classes: Sequence[str]) -> bool:
    """Whether a classifier's list of classes names them, and does not merely number them (``LABEL_0``, ``class 0``).

    >>> are_names(["cat", "dog"]), are_names(["LABEL_0", "LABEL_1"]), are_names([])
    (True, False, False)
    """
    for form in ("LABEL_{}", "class {}", "class_{}", "class{}"):
        if all(name == form.format(number) for number, name in enumerate(classes)):
            return False
    return bool(classes)


def difference_of_classes(before: Sequence[str], now: Sequence[str]) -> str:
    """What differs between two lists of class names, in words; empty where they are equal.

    >>> difference_of_classes(["ant", "bee"], ["bee", "zebra"])
    '1 class is gone (ant), 1 is new (zebra)'
    >>> difference_of_classes(["1", "10", "2"], ["1", "2", "10"])
    'the same 3 classes stand in another order (number 1 was 10, is 2)'
    """
    gone = [name for name in before if name not in set(now)]
    new = [name for name in now if name not in set(before)]
    if gone or new:
        parts: list[str] = []
        for names, what in ((gone, "gone"), (new, "new")):
            if names:
                noun = "" if parts else " class" if len(names) == 1 else " classes"
                parts.append(f"{len(names)}{noun} {'is' if len(names) == 1 else 'are'} {what} ({some_names(names)})")
        return ", ".join(parts)
    for number, (first, second) in enumerate(zip(before, now, strict=False)):
        if first != second:
            return f"the same {len(now)} classes stand in another order (number {number} was {first}, is {second})"
    return ""


def check_same_classes(stored: Sequence[str], now: Sequence[str], what: str = "this run") -> None:
    """Refuse to go on with a training whose classes are numbered otherwise today.

    Args:
        stored: class names in the checkpoint; without names there is nothing to compare.
        now: class names of today's images.
        what: the run or checkpoint, for the message.

    Raises:
        InputError: a class was renamed, added, removed or got another number.
    """
    if are_names(stored) and now and (different := difference_of_classes(stored, now)):
        raise InputError(
            f"{what} was trained on other classes: {different}; restore the names of the class folders, or start a "
            "new run from its checkpoint"
        )


def some_names(names: Sequence[str], limit: int = 3) -> str:
    """The first names, for messages."""
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
