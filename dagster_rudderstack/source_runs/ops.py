"""Op factories: runs of Profiles projects and of ETL sources, for jobs not made of assets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_rudderstack.api.validation import checked_id
from dagster_rudderstack.errors import InvalidSettingError, RudderStackError
from dagster_rudderstack.metadata import failure_from, report_metadata
from dagster_rudderstack.options import checked_ids, config_fields
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.source_runs.options import (
    ProfilesAssetOptions,
    ProfilesOptions,
    RudderStackProfilesConfig,
    RudderStackSourceConfig,
    SourceRunOptions,
    choices_of,
    choices_of_run,
    parameters_of,
    parameters_of_run,
    run_options,
)
from dagster_rudderstack.sync.request import RunRequest, SourceRunReport
from dagster_rudderstack.text import MAX_EXAMPLES, identifier

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["build_rudderstack_profiles_op", "build_rudderstack_source_op"]

CoercibleToKey = dg.AssetKey | str | Sequence[str]


def build_rudderstack_profiles_op(
    *,
    source_id: str,
    name: str | None = None,
    asset_key: CoercibleToKey | None = None,
    tags: Mapping[str, Any] | None = None,
    **options: "Unpack[ProfilesOptions]",
) -> dg.OpDefinition:
    """Build an op that runs a Profiles project and waits until the run ends.

        build_features = build_rudderstack_profiles_op(
            source_id="2hkfQ1bVxSgBbBmZCWGbnQmOs0D", model_refs=["models/user_features"]
        )

    The output is the `SourceRunReport`. RudderStack has no way to stop a run: it continues when a
    person cancels the Dagster run, or when the timeout passes.

    Args:
        source_id: The project, from the RudderStack dashboard.
        name: Name of the op. None creates one from the id.
        asset_key: Asset that the op materializes. None: the op materializes no asset.
        tags: Tags of the op.
        options: How the project is run, see `ProfilesOptions`.

    Raises:
        InvalidSettingError: If an id or an option is invalid.
    """
    ids = [checked_id(source_id, "source_id")]
    checked = run_options(options, ProfilesOptions)
    runs = _OpRuns(ids, checked, RudderStackProfilesConfig, _key_of(asset_key), is_alone=True)
    description = f"Run the Profiles project {ids[0]} and wait until the run ends."
    return _definition(
        runs, name or f"rudderstack_profiles_{identifier(ids[0])}", description, tags
    )


def build_rudderstack_source_op(
    *,
    source_id: str | None = None,
    source_ids: Sequence[str] | None = None,
    name: str | None = None,
    asset_key: CoercibleToKey | None = None,
    tags: Mapping[str, Any] | None = None,
    **options: "Unpack[SourceRunOptions]",
) -> dg.OpDefinition:
    """Build an op that runs an ETL source, or several at once, and waits until the runs end.

        load = build_rudderstack_source_op(
            name="load",
            source_ids=["2hkfPqGZK0mYwUyXUSwHkqwMZ3g", "2hkfRk5YhTzWm3nQv8uXc1LdE0B"],
        )

    The output is the `SourceRunReport` of the source, or a dict of them by source id. If one of
    several runs fails, the op fails when the others have ended. A retry resumes those that
    succeeded, and runs only the other sources. RudderStack has no way to stop a run: it continues
    when a person cancels the Dagster run, or when the timeout passes.

    Args:
        source_id: The source, from the RudderStack dashboard.
        source_ids: Several sources instead of one.
        name: Name of the op. None creates one from the source's id; several need a name.
        asset_key: Asset that the op materializes. None: the op materializes no asset. Only with
            one source.
        tags: Tags of the op.
        options: How the sources are run, see `SourceRunOptions`.

    Raises:
        InvalidSettingError: If an id or an option is invalid, or if not exactly one of `source_id`
            and `source_ids` is given.
    """
    ids = checked_ids("build_rudderstack_source_op", "source", source_id, source_ids)
    is_alone = source_ids is None
    if not is_alone and (name is None or asset_key is not None):
        raise InvalidSettingError(
            "An op for several sources needs a name, and takes no asset_key. To materialize "
            "assets, use build_rudderstack_source_asset for each source."
        )
    checked = run_options(options, SourceRunOptions)
    runs = _OpRuns(ids, checked, RudderStackSourceConfig, _key_of(asset_key), is_alone=is_alone)
    named = f"source{'' if is_alone else 's'} {', '.join(ids)}"
    many = f"{len(ids):,} ETL sources"
    what = many if len(ids) > MAX_EXAMPLES else f"ETL {named}"
    description = f"Run {what} and wait until {'the run ends' if is_alone else 'the runs end'}."
    return _definition(runs, name or f"rudderstack_source_{identifier(ids[0])}", description, tags)


def _key_of(given: CoercibleToKey | None) -> dg.AssetKey | None:
    return None if given is None else dg.AssetSpec(given).key


@dataclass(frozen=True)
class _OpRuns:
    """What an op runs.

    Attributes:
        source_ids: The project or the sources.
        options: How they are run.
        config: The class of the run config.
        asset_key: The asset that the only run materializes. None if it materializes none.
        is_alone: Whether the output is one report. Otherwise it is a dict.
    """

    source_ids: Sequence[str]
    options: ProfilesAssetOptions
    config: type[RudderStackSourceConfig]
    asset_key: dg.AssetKey | None
    is_alone: bool

    def events(self, context: dg.OpExecutionContext) -> Iterator[Any]:
        """Run the sources, and yield the materialization, if there is an asset, and the output.

        Raises:
            dagster.Failure: If a run did not succeed.
        """
        rudderstack: RudderStackResource = getattr(context.resources, self.options["resource_key"])
        reports = self._reports(context, rudderstack)
        if not self.is_alone:
            yield dg.Output({report.source_id: report for report in reports})
            return
        metadata = report_metadata(reports[0], rudderstack.run_dashboard_url)
        if self.asset_key is not None:
            yield dg.AssetMaterialization(
                asset_key=self.asset_key,
                partition=context.partition_key if context.has_partition_key else None,
                metadata=metadata,
            )
        yield dg.Output(reports[0], metadata=metadata)

    def _reports(
        self, context: dg.OpExecutionContext, rudderstack: RudderStackResource
    ) -> list[SourceRunReport]:
        try:
            config = self.config(**context.op_config)
            parameters = parameters_of_run(config, parameters_of(self.options)).to_api()
            choices = choices_of_run(config).over(choices_of(self.options))
        except RudderStackError as error:
            raise failure_from(error, source_id=self.source_ids[0]) from None
        requests = [RunRequest(each, parameters) for each in self.source_ids]
        keys = [self.asset_key] if self.asset_key else []
        return rudderstack.runs_in_step(context, requests, choices, observed_keys=keys)


def _definition(
    runs: _OpRuns, name: str, description: str, tags: Mapping[str, Any] | None
) -> dg.OpDefinition:
    is_alone = runs.is_alone

    @dg.op(
        name=name,
        description=description,
        ins={"start_after": dg.In(dg.Nothing)},
        out=dg.Out(
            SourceRunReport if is_alone else dict,
            description="The report of the run." if is_alone else "The reports by source id.",
        ),
        config_schema=config_fields(runs.config),
        required_resource_keys={runs.options["resource_key"]},
        retry_policy=runs.options["retry_policy"],
        pool=runs.options["pool"],
        tags=tags,
    )
    def run_op(context: dg.OpExecutionContext) -> Iterator[Any]:
        yield from runs.events(context)

    return run_op
