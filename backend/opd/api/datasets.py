"""Datasets: the bundled examples and what was uploaded; checking, reading the first prompts, removing."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import StreamingResponse

from opd.api.base import DATASET_ID_PATTERN, ApiModel, errors
from opd.api.deps import Studio, get_studio
from opd.api.uploads import receive_upload
from opd.data_loader import DataReport, clean_file
from opd.rendering import MAX_COUNTED, Rendering, render_prompts
from opd.store.datasets import Dataset

router = APIRouter(prefix="/api/datasets", tags=["datasets"])
StudioDep = Annotated[Studio, Depends(get_studio)]
DatasetId = Annotated[str, Path(pattern=DATASET_ID_PATTERN, description="Id of a dataset.")]

NUM_PREVIEWED = 20


class DatasetItem(ApiModel):
    """A data file that a run can use."""

    id: str
    name: str
    origin: Literal["bundled", "uploaded"]
    path: str
    """What `data.path` of a configuration takes."""
    created_time: float | None
    """Unix seconds; null for a bundled file."""
    num_samples: int
    size_bytes: int
    ok: bool
    """Whether a run may use it."""


class DatasetList(ApiModel):
    """Bundled examples first, then uploads, newest first."""

    items: list[DatasetItem]


class ChatMessage(ApiModel):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


class PromptPreview(ApiModel):
    """One prompt of a file."""

    id: str
    line: int
    messages: list[ChatMessage]
    answer: str | None


class Overlap(ApiModel):
    """Another file that holds some of the same prompts."""

    dataset_id: str
    name: str
    num_prompts: int
    """Different prompts that both have. Held out in the one and trained on in the other, they prove nothing."""


class DatasetDetail(ApiModel):
    """A dataset, what the check found, and its first prompts."""

    dataset: DatasetItem
    report: DataReport
    preview: list[PromptPreview]
    overlaps: list[Overlap]


class UploadAnswer(ApiModel):
    """What the check of an uploaded file found. A file with errors is not kept."""

    dataset: DatasetItem | None
    """Null when the file has errors."""
    report: DataReport


class DatasetDeleted(ApiModel):
    """The uploaded file is gone."""

    id: str


@router.get("", operation_id="listDatasets", responses=errors())
def list_datasets(studio: StudioDep) -> DatasetList:
    """The files that a run can start from."""
    return DatasetList(items=[_item(dataset) for dataset in studio.datasets])


@router.post(
    "",
    operation_id="uploadDataset",
    responses=errors(400),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload_dataset(
    request: Request,
    studio: StudioDep,
    name: Annotated[str, Query(min_length=1, max_length=200, description="File name, for people.")],
    clean: Annotated[bool, Query(description="Keep the lines that can be used, each prompt once.")] = False,
) -> UploadAnswer:
    """Check a JSONL file and keep it if a run may use it. The body is the file itself."""
    dataset, report = await receive_upload(request, name, studio.datasets, clean=clean)
    return UploadAnswer(dataset=_item(dataset) if dataset else None, report=report)


@router.get("/{dataset_id}", operation_id="getDataset", responses=errors(400, 404))
def get_dataset(dataset_id: DatasetId, studio: StudioDep) -> DatasetDetail:
    """A dataset with the complete report of its check and its first prompts."""
    dataset = studio.datasets.get(dataset_id)
    preview = [
        PromptPreview(
            id=record.id,
            line=record.line,
            messages=[ChatMessage(role=turn["role"], content=turn["content"]) for turn in record.messages],
            answer=record.answer,
        )
        for record in studio.datasets.preview(dataset, NUM_PREVIEWED)
    ]
    overlaps = [
        Overlap(dataset_id=other.id, name=other.name, num_prompts=num)
        for other, num in studio.datasets.overlaps(dataset)
    ]
    return DatasetDetail(dataset=_item(dataset), report=dataset.report, preview=preview, overlaps=overlaps)


@router.get("/{dataset_id}/rendered", operation_id="renderDataset", responses=errors(400, 404))
def render_dataset(
    dataset_id: DatasetId,
    studio: StudioDep,
    model: Annotated[str, Query(min_length=1, max_length=1000, description="A model on this machine.")],
) -> Rendering:
    """The first prompts as a model reads them: through its chat template, token by token."""
    dataset = studio.datasets.get(dataset_id)
    records = studio.datasets.preview(dataset, MAX_COUNTED)
    return render_prompts(model, records, NUM_PREVIEWED)


@router.get(
    "/{dataset_id}/cleaned",
    operation_id="getCleanedDataset",
    response_class=StreamingResponse,
    responses={**errors(400, 404), 200: {"description": "JSONL.", "content": {"application/jsonl": {}}}},
)
def get_cleaned_dataset(dataset_id: DatasetId, studio: StudioDep) -> StreamingResponse:
    """The file as chat messages, one line a prompt, none twice: what can be shared, or put under version control."""
    dataset = studio.datasets.get(dataset_id)
    headers = {"content-disposition": f'attachment; filename="{dataset.id}-cleaned.jsonl"'}
    return StreamingResponse(clean_file(dataset.path), media_type="application/jsonl", headers=headers)


@router.delete("/{dataset_id}", operation_id="deleteDataset", responses=errors(400, 404))
def delete_dataset(dataset_id: DatasetId, studio: StudioDep) -> DatasetDeleted:
    """Remove an uploaded file. Bundled examples stay; runs keep nothing but the path."""
    studio.datasets.delete(dataset_id)
    return DatasetDeleted(id=dataset_id)


def _item(dataset: Dataset) -> DatasetItem:
    return DatasetItem(
        id=dataset.id,
        name=dataset.name,
        origin=dataset.origin,
        path=str(dataset.path),
        created_time=dataset.created_time,
        num_samples=dataset.report.num_samples,
        size_bytes=dataset.report.size_bytes,
        ok=dataset.report.ok,
    )
