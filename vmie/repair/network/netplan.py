"""netplan's YAML (https://netplan.readthedocs.io/en/stable/netplan-yaml/), written anew."""

from __future__ import annotations

from vmie.repair.network.stacked import Stacked

_ANY = """network:
  version: 2
{renderer}  ethernets:
    any:
      match:
        name: "e*"
      dhcp4: true
"""
_NONE = "network:\n  version: 2\n"


def edited(text: str, names: list[str], first: bool) -> str:
    """Any card by DHCP, by the renderer of `text`; with `first` False none."""
    from vmie.guest.linux import netplan  # noqa: PLC0415 - a YAML library, for the guests that need one

    try:
        document = netplan.load(text)
    except netplan.NetplanError as error:
        raise Stacked(str(error)) from error
    network = document.get("network") if isinstance(document, dict) else None
    if not isinstance(network, dict) or set(network) - {"version", "renderer", "ethernets"}:
        raise Stacked("it has more than Ethernet cards")
    if not first:
        return _NONE
    renderer = network.get("renderer")
    known = renderer in ("networkd", "NetworkManager")
    return _ANY.format(renderer=f"  renderer: {renderer}\n" if known else "")
