"""The variables that the Vagrantfile reads, for the checks that come before it: same names, same defaults.

The Vagrantfile reads them by itself, since a host of virtual machines needs no Python; a test holds the two together.
"""

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import ConfigurationError


class VagrantSettings(BaseSettings):
    """How many machines, how large, from which box, and from where; each from `CONTENDER_<FIELD>`."""

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
    box_checksum: str = Field(default="", description="The SHA-256 of that file, without which it is not taken.")
    box_architecture: str = Field(default="auto", description="Architecture of the box; auto: the host's.")
    k3s_releases: str = Field(default="", description="A mirror of k3s's releases; empty: GitHub.")
    k3s_airgap: str = Field(
        default="no", pattern="^(yes|no)$", description="yes: k3s's own images come as a checked archive too."
    )
    base_image: str = Field(default="", description="Another base image than python:3.11-slim, from a mirror say.")
    provider: str = Field(
        default="",
        validation_alias="VAGRANT_DEFAULT_PROVIDER",
        description="virtualbox or libvirt; Vagrant's own variable.",
    )


def load_vagrant_settings() -> VagrantSettings:
    """Reads the environment. Raises ConfigurationError for what the Vagrantfile would refuse."""
    try:
        return VagrantSettings()
    except ValidationError as error:
        faults = "; ".join(f"CONTENDER_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"The machines cannot be made as asked: {faults}.", "Correct or unset them.") from None
