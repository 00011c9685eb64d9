"""check.py ROOT RENDERED…: whether what is rendered fits the program (its settings, addresses and times) and itself."""

import json
import re
import sys
import tomllib
from pathlib import Path

import yaml

root = Path(sys.argv[1])
defaults = tomllib.loads((root / "config/default.toml").read_text())
paths = json.loads((root / "contracts/openapi.json").read_text())["paths"]
metrics = (root / "docs/metrics.md").read_text()
faults: list[str] = []


def claim(is_so: object, text: str) -> None:
    if not is_so:
        faults.append(text)


def setting(variable: str):
    """The default of the setting that a variable of the environment gives."""
    value = defaults
    for part in variable.removeprefix("ORDERMILL_").removesuffix("_FILE").lower().split("__"):
        if not isinstance(value, dict) or part not in value:
            faults.append(f"{variable} gives no setting")
            return None
        value = value[part]
    return value


def seconds(environment: dict[str, str], section: str, key: str) -> float:
    return int(environment.get(f"ORDERMILL_{section}__{key}".upper(), defaults[section][key])) / 1000


def check(name: str, rendered: list[dict]) -> None:
    by_kind = {(r["kind"], r["metadata"]["name"]): r for r in rendered}
    deployment = by_kind["Deployment", "ordermill"]["spec"]
    pod = deployment["template"]["spec"]
    (node,) = pod["containers"]
    labels = deployment["template"]["metadata"]["labels"]
    variables = {e["name"]: e.get("value", "") for e in node["env"] if e["name"].startswith("ORDERMILL_")}
    for source in node["envFrom"]:
        variables |= by_kind["ConfigMap", source["configMapRef"]["name"]]["data"]
    for variable, value in variables.items():
        default = setting(variable)
        if isinstance(default, int):
            claim(value.isdigit(), f"{variable}={value}: not a number")

    # What is asked, where, and whether it is there.
    (port,) = node["ports"]
    claim(variables["ORDERMILL_SERVER__LISTEN"].endswith(f":{port['containerPort']}"), "server.listen has another port than the container")
    claim(variables["ORDERMILL_SERVER__PUBLIC_URL"].endswith(f":{port['containerPort']}"), "server.public_url has another port")
    for probe, path in (("startupProbe", "/health/live"), ("livenessProbe", "/health/live"), ("readinessProbe", "/health/ready")):
        asked = node[probe]["httpGet"]
        claim(asked["path"] == path and path in paths, f"{probe} asks {asked['path']}")
        claim(asked["port"] == port["name"], f"{probe} asks port {asked['port']}")
    (service_port,) = by_kind["Service", "ordermill"]["spec"]["ports"]
    claim(service_port["targetPort"] == port["name"], "the service leads to another port")
    (rule,) = by_kind["NetworkPolicy", "ordermill"]["spec"]["ingress"]
    claim(rule["ports"] == [{"port": port["name"]}], "the network policy lets another port through")

    # Each selector means the nodes and nothing else.
    selectors = {
        "deployment": deployment["selector"]["matchLabels"],
        "service": by_kind["Service", "ordermill"]["spec"]["selector"],
        "disruption budget": by_kind["PodDisruptionBudget", "ordermill"]["spec"]["selector"].get("matchLabels"),
        "network policy": by_kind["NetworkPolicy", "ordermill"]["spec"]["podSelector"].get("matchLabels"),
        **{s["topologyKey"]: s["labelSelector"]["matchLabels"] for s in pod["topologySpreadConstraints"]},
    }
    for what, selector in selectors.items():
        claim(selector and selector == labels, f"the {what} selects {selector}, the nodes are {labels}")

    # A stop has all the time that it may need.
    pre_stop = node["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = seconds(variables, "server", "drain_ms")
    # Requests in progress, then half of it for Kafka, then the actors.
    limit = 2.5 * seconds(variables, "server", "shutdown_timeout_ms")
    needed = pre_stop + drain + limit + seconds(variables, "cluster", "handover_ms")
    claim(drain > 0 and pre_stop > 0, "a stop does not wait until proxies know of it")
    claim(pod["terminationGracePeriodSeconds"] > needed, f"terminationGracePeriodSeconds is not above {needed}")

    # Numbers of nodes.
    shards = int(variables["ORDERMILL_STORE__SHARDS"])
    surge = deployment["strategy"]["rollingUpdate"]["maxSurge"]
    scaler = by_kind.get(("HorizontalPodAutoscaler", "ordermill"))
    if scaler:
        claim("replicas" not in deployment, "the deployment and the autoscaler both say how many nodes there are")
        most, least = scaler["spec"]["maxReplicas"], scaler["spec"]["minReplicas"]
        claim(most + surge <= shards, f"{most} nodes and {surge} of an update are more than {shards} shards")
        for metric in scaler["spec"]["metrics"]:
            asked = metric["pods"]["metric"]["name"]
            claim(f"| `{asked}` | gauge |  | the node |" in metrics, f"{asked} is no number of one node in docs/metrics.md")
            adapter = (root / "docker/kubernetes/monitoring/adapter.yml").read_text()
            claim(f"seriesQuery: {asked}{{" in adapter, f"the adapter does not know {asked}")
            claim(int(metric["pods"]["target"]["averageValue"]) < defaults["order"]["open_limit"], f"{asked} is never so high")
    else:
        least = deployment["replicas"]
    claim(least >= 2, "one node alone")
    claim(by_kind["PodDisruptionBudget", "ordermill"]["spec"]["maxUnavailable"] < least, "a drained machine may take all nodes")

    # Secrets are files that are there.
    (volume,) = (v for v in pod["volumes"] if "secret" in v)
    (mount,) = (m for m in node["volumeMounts"] if m["name"] == volume["name"])
    files = {f"{mount['mountPath']}/{item['path']}" for item in volume["secret"]["items"]}
    for variable, value in variables.items():
        if variable.endswith("_FILE"):
            claim(value in files, f"{variable}: no secret is {value}")
    made = (root / "docker/up").read_text()
    for item in volume["secret"]["items"]:
        claim(re.search(rf"put {item['key']} ", made), f"docker/up makes no {item['key']}")

    # Nobody is root, and nothing but the nodes' and databases' data is written.
    for workload in (r for r in rendered if r["kind"] in ("Deployment", "StatefulSet")):
        who, spec = workload["metadata"]["name"], workload["spec"]["template"]["spec"]
        claim(spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"], f"{who} may be root")
        for container in spec["containers"]:
            rights = container["securityContext"]
            claim(rights["capabilities"]["drop"] == ["ALL"] and not rights["allowPrivilegeEscalation"], f"{who} has capabilities")
            claim(container["resources"]["limits"]["memory"] and container["resources"]["requests"], f"{who} has no limits")
            claim(rights.get("readOnlyRootFilesystem") or who == "kafka", f"{who} may write into its image")
    image = (root / "docker/Dockerfile").read_text()
    user = pod["securityContext"]["runAsUser"]
    claim(f"\nUSER {user}:{user}\n" in image, f"the image has another user than {user}")
    claim(f"\nEXPOSE {port['containerPort']}\n" in image, "the image exposes another port")
    print(f"docker/kubernetes: {name}: {len(rendered)} objects, {len(variables)} settings, grace {pod['terminationGracePeriodSeconds']} s")


scrape = yaml.safe_load((root / "docker/kubernetes/monitoring/scrape.yml").read_text())
jobs = [job["job_name"] for job in scrape["scrape_configs"]]
claim(f'job="{jobs[0]}"' in (root / "docker/prometheus/alerts.yml").read_text(), "the alerts want another job")
for file in sys.argv[2:]:
    before = len(faults)
    check(Path(file).stem, [r for r in yaml.safe_load_all(Path(file).read_text()) if r])
    faults[before:] = [f"{Path(file).stem}: {fault}" for fault in faults[before:]]
sys.exit("\n".join(faults) or 0)
