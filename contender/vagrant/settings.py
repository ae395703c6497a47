"""The environment variables of the Vagrantfile, with the same defaults, for the checks that run before it.

The Vagrantfile reads them itself, since a host of virtual machines needs no Python; a test compares the two.
"""

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import ConfigurationError


class VagrantSettings(BaseSettings):
    """The number and size of the machines, their box, and mirrors; each from `CONTENDER_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="CONTENDER_", env_ignore_empty=True, extra="ignore", frozen=True)

    workers: int = Field(default=1, ge=1, le=9, description="Workers beside the control plane.")
    node_memory: int = Field(default=4096, ge=2048, le=65536, description="Memory of each machine, in MiB.")
    node_cpus: int = Field(default=2, ge=1, le=32, description="Processors of each machine.")
    node_disk: int = Field(
        default=24, ge=16, le=500, description="Disk of each machine in GiB, with libvirt; VirtualBox's is the box's."
    )
    box: str = Field(default="", description="Another box than the pinned one.")
    box_version: str = Field(default="", description="Its version; or another version of the pinned box.")
    box_url: str = Field(default="", description="A box file by its address, or by its path as file:///…")
    box_checksum: str = Field(default="", description="The SHA-256 of that file, which is required for it.")
    box_architecture: str = Field(default="auto", description="Architecture of the box; auto: the host's.")
    k3s_releases: str = Field(default="", description="A mirror of k3s's releases; empty: GitHub.")
    k3s_airgap: str = Field(
        default="no", pattern="^(yes|no)$", description="yes: k3s's own images come as a checked archive too."
    )
    base_image: str = Field(default="", description="Another base image than python:3.11-slim, such as a mirror's.")
    provider: str = Field(
        default="",
        validation_alias="VAGRANT_DEFAULT_PROVIDER",
        description="virtualbox or libvirt; Vagrant's own variable.",
    )


def load_vagrant_settings() -> VagrantSettings:
    """Read the environment. Raises ConfigurationError for values that the Vagrantfile would refuse."""
    try:
        return VagrantSettings()
    except ValidationError as error:
        faults = "; ".join(f"CONTENDER_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(
            f"Settings of the machines are not valid: {faults}.", "Correct or unset them."
        ) from None
