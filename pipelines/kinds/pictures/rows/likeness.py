"""Near duplicates: pictures that are the same to the eye though their pixels differ, by a perceptual hash.

A picture's fingerprint is its lowest frequencies, by the cosine transform of brightness and colours. Their weight rises
with the frequency, as it falls in pictures (Field 1987), so that fine strokes count as much as large shapes. The
constant term is left out and the length does not count: another brightness or contrast changes nothing. Scaling and
compression change mostly what lies above these frequencies.

Two pictures are near duplicates where the cosine of their fingerprints is at least `ALIKE`. Each fingerprint is hashed
to 16 words of 16 bits, the sides of random planes on which it lies, and only pictures that share a word are compared.
So the work grows with the number of pictures, not its square. A pair at the limit shares no word once in 30,000.
All numbers are whole, so every machine finds the same.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.99  # the most alike of the 5,000 packaged digits come to 0.988, pictures saved as JPEG again to 0.99 or more
_FREQUENCIES = 12  # along each axis
_OF_COLOUR = 6
_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])  # as in JPEG
_LEAST_CONTRAST = 1.0  # root mean square in levels; of pictures with less there is nothing to compare
_WORDS, _BITS = 16, 16
_SEED = 16
_BLOCK = 2048

Integers = NDArray[np.float32]
"""Whole numbers, kept as float32: their products and sums stay below 2^24, so they are exact and fast."""


def fingerprint(pixels: NDArray[np.uint8]) -> bytes:
    """Of a picture [C, H, W] int8: 12 x 12 frequencies of brightness, 6 x 6 of each colour; empty where it is nearly
    flat."""
    _, height, width = pixels.shape
    rows, columns = _cosines(height), _cosines(width)
    terms = rows @ pixels.astype(np.float64) @ columns.T  # [C, h, w]
    terms[:, 0, 0] = 0.0
    if (terms**2).sum() < _LEAST_CONTRAST**2 * pixels.size:
        return b""
    terms *= np.hypot(*np.ogrid[: len(rows), : len(columns)])
    if len(terms) >= 3:  # JPEG keeps less of colour than of brightness, and so do we
        terms[:3] = np.tensordot(_YCBCR, terms[:3], axes=1)
        parts = [terms[0], *terms[1:3, :_OF_COLOUR, :_OF_COLOUR], *terms[3:]]
    else:
        parts = list(terms)
    vector = np.concatenate([part.ravel() for part in parts])
    return bytes(np.rint(vector * (127.0 / np.abs(vector).max())).astype(np.int8).tobytes())


@lru_cache(maxsize=8)
def _cosines(n: int) -> NDArray[np.float64]:
    """The first rows of the orthonormal cosine transform (DCT-II) of n numbers, [at most 12, n]."""
    frequency, place = np.arange(min(n, _FREQUENCIES))[:, None], np.arange(n)[None]
    rows: NDArray[np.float64] = np.sqrt(2 / n) * np.cos(np.pi * frequency * (place + 0.5) / n)
    rows[0] /= np.sqrt(2)
    return rows


def near_duplicates(fingerprints: Mapping[str, bytes]) -> dict[str, str]:
    """Of fingerprints by the digests of their pictures: for each that has a near duplicate the name of its group.

    Near duplicates of near duplicates belong to one group. Its name is the least digest in it, so a group changes its
    name only by a near duplicate that comes or goes.
    """
    names = sorted(fingerprints)
    if not names:
        return {}
    longest = max(1, *map(len, fingerprints.values()))
    first = first_alike(np.array([fingerprints[name] for name in names], dtype=f"S{longest}"))
    counts = np.bincount(first)
    return {name: names[root] for name, root in zip(names, first, strict=True) if counts[root] > 1}


def first_alike(fingerprints: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """For each fingerprint the index of the first one in its group of near duplicates; alone, its own index. [n]

    All have one length, or are empty. An empty fingerprint (numpy fills it with zeros) is like no other.
    """
    vectors = np.ascontiguousarray(fingerprints).view(np.int8).reshape(len(fingerprints), -1)
    first, looked_at = np.arange(len(vectors)), np.flatnonzero(vectors.any(axis=1))
    if len(looked_at) > 1:
        first[looked_at] = looked_at[_first_alike(vectors[looked_at])]
    return first


def _first_alike(vectors: NDArray[np.int8]) -> NDArray[np.int64]:
    """For each row the first of those that a chain of near duplicates connects it to. [n]"""
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.int32).astype(np.float64))
    words = _words(vectors)
    first = np.arange(len(vectors))
    while True:
        before = first.copy()
        for word in words.T:
            for rows in _sharing(word):
                for start in range(0, len(rows), _BLOCK):
                    block = rows[start : start + _BLOCK]
                    alike = _alike(vectors[block], vectors[rows], lengths[block], lengths[rows])
                    first[block] = np.where(alike, first[rows], len(vectors)).min(axis=1)
        first = first[first]
        if np.array_equal(first, before):
            return first


def _words(vectors: NDArray[np.int8]) -> NDArray[np.uint16]:
    """Whether a row lies on the positive side of each of 256 planes, as 16 words. [n, 16]"""
    rng = np.random.Generator(np.random.Philox(key=[_SEED, 0]))
    planes = (2 * rng.integers(0, 2, (vectors.shape[1], _WORDS * _BITS)) - 1).astype(np.float32)
    words = np.empty((len(vectors), _WORDS), dtype=np.uint16)
    for start in range(0, len(vectors), _BLOCK):
        sides = vectors[start : start + _BLOCK].astype(np.float32) @ planes > 0
        words[start : start + _BLOCK] = np.packbits(sides, axis=1).view(np.uint16)
    return words


def _sharing(word: NDArray[np.uint16]) -> Iterator[NDArray[np.int64]]:
    """The rows of each value that at least two have."""
    order = np.argsort(word, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(word[order])) + 1):
        if len(rows) > 1:
            yield rows


def _alike(
    a: NDArray[np.int8], b: NDArray[np.int8], of_a: NDArray[np.float64], of_b: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether rows of a and of b are near duplicates; each is one of itself. [len(a), len(b)]"""
    products: Integers = a.astype(np.float32) @ b.astype(np.float32).T
    return products >= ALIKE * of_a[:, None] * of_b
