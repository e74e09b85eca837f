"""Every setting of the platform, read from `CDP_*` environment variables. `docs/settings.md` lists them all."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cdp.errors import CdpError

API, KAFKA, KAFKA_CONTROLLER, REDIS, CLICKHOUSE = 0, 92, 93, 79, 23
FLINK_REST, FLINK_RPC, FLINK_BLOB, FLINK_TASK_RPC, FLINK_TASK_DATA = 81, 82, 83, 84, 85
METRICS_DISPATCHER, WEBHOOK_DEMO = 86, 90


class Settings(BaseSettings):
    """Addresses left empty mean the embedded part, which listens on 127.0.0.1 at ``port_base`` plus a fixed number."""

    model_config = SettingsConfigDict(env_prefix="CDP_", extra="ignore")

    data_dir: Path = Field(Path(".cdp"), description="Folder that holds everything: logs, state, secrets.")
    port_base: int = Field(8400, ge=1024, le=65_000, description="The API's port; the embedded parts use the hundred above it.")
    timezone: str = Field("Asia/Shanghai", description="Time zone of calendar days in tags, triggers and analytics.")
    kafka: str = Field("", description="Bootstrap servers of an outside Kafka, host:port[,host:port].")
    redis: str = Field("", description="URL of an outside Redis or Valkey, redis://host:port/0.")
    clickhouse: str = Field("", description="URL of an outside ClickHouse server, http://user:password@host:8123.")
    clickhouse_database: str = Field("cdp", description="ClickHouse database of the facts.")
    database: str = Field("", description="SQLAlchemy URL of the definitions; empty: SQLite in the data folder.")
    flink: str = Field("", description="REST address of an outside Flink cluster, host:port.")
    webhook_url: str = Field("", description="Where the webhook channel posts; empty: actions go to the log channel's file only.")
    webhook_secret: SecretStr = Field(SecretStr(""), description="Key that signs webhook bodies (HMAC-SHA256); empty: unsigned.")
    topic_prefix: str = Field("cdp", pattern=r"^[a-z][a-z0-9_-]*$", description="Prefix of topics, Redis keys and groups.")
    partitions: int = Field(4, ge=1, le=4096, description="Partitions of each topic; fixed for life once people exist.")
    max_event_bytes: int = Field(262_144, ge=1024, description="Largest event that the collector takes, in bytes.")
    max_batch_bytes: int = Field(4_194_304, ge=1024, description="Largest request body that the collector takes, in bytes.")
    spool_max_bytes: int = Field(
        1 << 30, ge=0, description="Largest file in which events wait while Kafka is away, in bytes; 0: answer 503 instead."
    )
    trust_proxy: bool = Field(
        False, description="Whether a proxy of ours stands before the collector: its X-Forwarded-For names the client."
    )
    geoip: str = Field("", description="MaxMind database (.mmdb) that tells the place of an IP address; empty: none.")
    ip_mode: Literal["keep", "truncate", "drop"] = Field(
        "truncate", description="What is kept of IP addresses: all of them, /24 and /48, or nothing."
    )
    bundle_ms: int = Field(80, ge=1, le=10_000, description="Longest wait of RESOLVE and PROFILE for more events, in ms.")
    bundle_rows: int = Field(2000, ge=1, le=100_000, description="Largest batch in RESOLVE and PROFILE, in events.")
    facts_bundle_ms: int = Field(1500, ge=1, le=60_000, description="Longest wait of FACTS for more facts, in ms.")
    merges_bundle_ms: int = Field(250, ge=1, le=60_000, description="Longest wait of FACTS for more merges, in ms.")
    facts_bundle_rows: int = Field(20_000, ge=1, le=500_000, description="Largest batch in FACTS, in rows.")
    checkpoint_ms: int = Field(5000, ge=100, description="Interval of Flink's checkpoints, in ms.")
    parallelism: int = Field(1, ge=1, le=512, description="Parallelism of the jobs RESOLVE and FACTS.")
    profile_parallelism: int = Field(2, ge=1, le=512, description="Parallelism of the job PROFILE, which does the most work.")
    tick_seconds: float = Field(1.0, gt=0, description="How often time passes for people without events, in seconds.")
    squash_hours: float = Field(24.0, gt=0, description="How often facts are told whose they are by now, in hours.")
    squash_after_hours: float = Field(
        72.0, ge=0, description="How long ago their part must have moved for that, in hours; until then they are looked up."
    )
    keyring_file: str = Field(
        "", description="File with the keys that seal personal data; empty: keyring.json in the data folder's secrets."
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Level of the platform's own logs.")

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(value)
        except Exception as error:
            raise ValueError(f"unknown time zone {value!r}; use a name such as Asia/Shanghai or UTC") from error
        return value

    def port(self, part: int) -> int:
        """The port of an embedded part."""
        return self.port_base + part

    @property
    def kafka_servers(self) -> str:
        """Kafka's bootstrap servers."""
        return self.kafka or f"127.0.0.1:{self.port(KAFKA)}"

    @property
    def redis_url(self) -> str:
        """Redis's URL."""
        return self.redis or f"redis://127.0.0.1:{self.port(REDIS)}/0"

    @property
    def clickhouse_url(self) -> str:
        """ClickHouse's HTTP URL; the embedded server's credentials are in the data folder, not here."""
        return self.clickhouse or f"http://127.0.0.1:{self.port(CLICKHOUSE)}"

    @property
    def flink_rest(self) -> str:
        """host:port of Flink's REST interface."""
        return self.flink or f"127.0.0.1:{self.port(FLINK_REST)}"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the definitions' database."""
        return self.database or f"sqlite:///{self.data_dir / 'definitions.db'}"

    @property
    def api_url(self) -> str:
        """Address of the API."""
        return f"http://127.0.0.1:{self.port(API)}"

    @property
    def secrets_dir(self) -> Path:
        """Folder of generated secrets, readable by the owner only."""
        return self.data_dir / "secrets"

    @property
    def logs_dir(self) -> Path:
        """Folder of every part's log."""
        return self.data_dir / "logs"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, read once. Raises CdpError for a value that makes no sense."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"CDP_{'_'.join(map(str, first['loc'])).upper()}"
        raise CdpError(f"{name} is not valid: {first['msg']}.", "`docs/settings.md` lists all settings.") from error
