"""Every knob, in one place: command line, else environment (HYPERVIGIL_*), else hypervigil.toml, else the default."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from zoneinfo import available_timezones

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

Severity = Literal["informational", "low", "medium", "high", "critical"]
MIB = 1024 * 1024


class Settings(BaseSettings):
    """Settings of one command. Each description names the flag; the variable is HYPERVIGIL_ and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="HYPERVIGIL_", toml_file="hypervigil.toml", extra="forbid", frozen=True)

    inputs: tuple[str, ...] = Field((), description="Files, folders or URLs (s3://, gs://, abfs://, hdfs://) to read. Argument INPUT...")
    lake: str = Field("./hypervigil-lake", description="Folder or URL of the Delta tables. --lake")
    report: str | None = Field(None, description="Where the HTML report goes; default report.html beside a local lake's tables. --report")
    rules: tuple[str, ...] = Field((), description="Files or folders of other people's Sigma rules, beside ours. --rules, repeatable")
    field_maps: tuple[str, ...] = Field((), description="Files or folders that map their fields to ours. --field-map, repeatable")
    lists: str | None = Field(None, description="Folder of value lists; each replaces ours of the same name. --lists")
    exceptions: str | None = Field(None, description="What is known to be harmless here; default exceptions.yml in the working directory, "
                                                     "if there is one. --exceptions")
    context: str | None = Field(None, description="Folder with what you know of the site: inventory*.csv, addresses*.csv, identities.csv, "
                                                  "tenants.csv, policy.yml. When something in it changes, the next run judges all days "
                                                  "anew. --context")
    geoip: tuple[str, ...] = Field((), description="GeoIP files in MaxMind's format (.mmdb) or folders of them, for all workers to read. "
                                                   "--geoip, repeatable")
    parser: str | None = Field(None, description="Read every file with this parser instead of choosing by content. --parser")
    timezone: str | None = Field(None, description="Zone of times that carry none, instead of each parser's own. --timezone")
    since: datetime | None = Field(None, description="Alerts and report: only events at or after this time; UTC if it has no zone. --since")
    until: datetime | None = Field(None, description="Alerts and report: only events before this time. --until")
    fail_on: Severity | None = Field(None, description="Exit with 3 when an alert of this severity or above was raised. --fail-on")
    strict: bool = Field(False, description="Exit with 1 when a quality expectation fails; refuse content with errors. --strict")
    quality: bool = Field(True, description="Check the written tables with Great Expectations. --quality/--no-quality")
    range_bytes: int = Field(64 * MIB, ge=1, description="Bytes that one task reads; small files share a task up to it. --range-bytes")
    batch_bytes: int = Field(8 * 1024 * MIB, ge=1, description="Bytes read between two commits; an interrupted run keeps what it "
                                                               "committed. --batch-bytes")
    spark_master: str = Field("local[*]", description="Spark master. --spark-master")
    driver_memory: str = Field("2g", description="Memory of the driver's JVM. --driver-memory")
    spark_log: str | None = Field(None, description="File to which Spark writes what it has to say, stack traces included; default: "
                                                    "nowhere. --spark-log")
    progress: bool | None = Field(None, description="Show a progress bar; default: on a terminal. --progress/--no-progress")

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            raise ValueError("no such zone; say it like Europe/Berlin")
        return value

    @field_validator("since", "until")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    @classmethod
    def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource, file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then hypervigil.toml of the working directory."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def lake_url(self) -> str:
        """The lake as an absolute path, or the URL as given."""
        return self.lake if "://" in self.lake else str(Path(self.lake).resolve())

    @property
    def report_path(self) -> Path:
        """Where the report goes; a lake in an object store has it in the working directory."""
        return Path(self.report) if self.report else Path("report.html") if "://" in self.lake else Path(self.lake_url) / "report.html"
