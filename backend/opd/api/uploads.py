"""Receiving a data file: streamed to disk, never held in memory, refused when it grows too large."""

from __future__ import annotations

import os
from functools import partial

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from opd.data_loader import DataReport
from opd.errors import InputError, StorageError
from opd.store.datasets import Dataset, Datasets

MAX_UPLOAD_BYTES = 1_000_000_000


async def receive_upload(
    request: Request, name: str, datasets: Datasets, *, clean: bool
) -> tuple[Dataset | None, DataReport]:
    """Write the body aside, check it, keep it if a run may use it.

    Raises:
        InputError: larger than `MAX_UPLOAD_BYTES`, or the sender went away.
        StorageError: the disk is full.
    """
    path = await run_in_threadpool(datasets.new_file)
    num_bytes = 0
    try:
        file = await run_in_threadpool(path.open, "xb")
        try:
            async for chunk in request.stream():
                num_bytes += len(chunk)
                if num_bytes > MAX_UPLOAD_BYTES:
                    raise InputError(
                        f"The file has more than {MAX_UPLOAD_BYTES / 1e6:,.0f} MB.",
                        hint="Put it on this machine and give its path as data.path.",
                    )
                await run_in_threadpool(file.write, chunk)
            await run_in_threadpool(file.flush)
            await run_in_threadpool(os.fsync, file.fileno())
        finally:
            await run_in_threadpool(file.close)
        return await run_in_threadpool(partial(datasets.keep, path, name, clean=clean))
    except OSError as error:
        raise StorageError(
            f"The file could not be stored: {error.strerror or error}.", hint="Free space in the data folder."
        ) from None
    finally:
        await run_in_threadpool(path.unlink, missing_ok=True)
