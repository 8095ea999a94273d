// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

func TestBuildReadsURLs(t *testing.T) {
	type target struct{ Scheme, Address, Host, BasePath string }
	for name, tc := range map[string]struct {
		url  string
		want target
	}{
		"https with a path":              {"https://api.openai.com/v1", target{"https", "api.openai.com:443", "api.openai.com", "/v1"}},
		"http without a path":            {"http://vllm.models.svc", target{"http", "vllm.models.svc:80", "vllm.models.svc", ""}},
		"a port of its own":              {"http://vllm:8000/v1/", target{"http", "vllm:8000", "vllm:8000", "/v1"}},
		"the standard port written out":  {"https://a.example:443/v1", target{"https", "a.example:443", "a.example", "/v1"}},
		"http's port with https":         {"https://a.example:80", target{"https", "a.example:80", "a.example:80", ""}},
		"a port with leading zeros":      {"http://a.example:0080", target{"http", "a.example:80", "a.example", ""}},
		"only slashes as path":           {"https://a.example///", target{"https", "a.example:443", "a.example", ""}},
		"an escaped slash in the path":   {"https://a.example/a%2Fb/c%20d/", target{"https", "a.example:443", "a.example", "/a%2Fb/c%20d"}},
		"capitals in the host":           {"https://API.Example.COM/V1", target{"https", "api.example.com:443", "api.example.com", "/V1"}},
		"a final dot":                    {"https://api.example.com./v1", target{"https", "api.example.com.:443", "api.example.com", "/v1"}},
		"an IPv4 address":                {"http://10.1.2.3:8080/v1", target{"http", "10.1.2.3:8080", "10.1.2.3:8080", "/v1"}},
		"an IPv6 address":                {"https://[2001:db8::1]/v1", target{"https", "[2001:db8::1]:443", "[2001:db8::1]", "/v1"}},
		"an IPv6 address with a port":    {"http://[::1]:8080", target{"http", "[::1]:8080", "[::1]:8080", ""}},
		"a host with digits in its name": {"http://vllm-0.vllm-2", target{"http", "vllm-0.vllm-2:80", "vllm-0.vllm-2", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			e := routing.Build(routing.Input{Endpoints: []routing.EndpointSpec{endpoint("e", at(tc.url))}}).Endpoints[0]
			if e.Refused != (routing.Refusal{}) || e.Standby != (routing.Refusal{}) {
				t.Errorf("refused: %v, standby: %v", e.Refused, e.Standby)
			}
			if diff := cmp.Diff(tc.want, target{e.Scheme, e.Address, e.Host, e.BasePath}); diff != "" {
				t.Errorf("target (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBuildRefusesURLs(t *testing.T) {
	for name, tc := range map[string]struct{ url, wantMessage string }{
		"nothing":                          {"", "must start with https:// or http://"},
		"another scheme":                   {"ftp://a.example", "must start with https:// or http://"},
		"no scheme":                        {"api.example.com/v1", "must start with https:// or http://"},
		"no slashes":                       {"https:a.example", "is not an absolute URL"},
		"no host":                          {"https:///v1", "must have a host"},
		"a space in the host":              {"https://a b/v1", "is not an absolute URL"},
		"a line break":                     {"https://a.example/v1\r\nX: y", "is not an absolute URL"},
		"a password":                       {"https://user:hunter2@a.example", "put the credential in a Secret"},
		"a query":                          {"https://a.example/v1?key=hunter2", "must not have a query"},
		"a fragment":                       {"https://a.example/v1#", "must not have a query or a fragment"},
		"a space in the path":              {"https://a.example/a%2Fb/c d", "that must be escaped"},
		"port 0":                           {"http://a.example:0", "port outside 1 to 65535"},
		"port 65536":                       {"http://a.example:65536", "port outside 1 to 65535"},
		"a colon and no port":              {"http://a.example:/v1", "no port after its host"},
		"letters as a port":                {"http://a.example:http", "is not an absolute URL"},
		"an international name":            {"https://münchen.example", "xn--"},
		"an empty label":                   {"https://a..example", "must have a host of letters"},
		"a label too long":                 {"https://" + strings.Repeat("a", 64) + ".example", "must have a host of letters"},
		"a name too long":                  {"https://" + strings.Repeat("a.", 130) + "example", "must have a host of letters"},
		"a quote in the host":              {`https://a"b.example`, "must have a host of letters"},
		"the metadata address":             {"http://169.254.169.254/latest", "169.254.169.254 is a link-local address"},
		"another link-local address":       {"http://169.254.0.1", "is a link-local address"},
		"a link-local IPv6 address":        {"http://[fe80::1]", "is a link-local address"},
		"the end of the link-local range":  {"http://[febf::1]:80", "is a link-local address"},
		"a link-local address with a zone": {"http://[fe80::1%25eth0]", "is a link-local address"},
		"another address with a zone":      {"http://[2001:db8::1%25eth0]", "has a zone"},
		"mapped into IPv6":                 {"http://[::ffff:169.254.169.254]", "is a link-local address"},
		"mapped, in hexadecimal":           {"http://[::ffff:a9fe:a9fe]", "is a link-local address"},
		"IPv4-compatible":                  {"http://[::169.254.169.254]", "is a link-local address"},
		"behind NAT64":                     {"http://[64:ff9b::a9fe:a9fe]", "is a link-local address"},
		"behind 6to4":                      {"http://[2002:a9fe:a9fe::1]", "is a link-local address"},
		"a cloud's IPv6 metadata":          {"http://[fd00:ec2::254]", "metadata address"},
		"a cloud's other metadata":         {"http://100.100.100.200", "metadata address"},
		"a cloud's metadata, mapped":       {"http://[::ffff:100.100.100.200]", "metadata address"},
		"one decimal number":               {"http://2852039166", "ends in a number"},
		"one hexadecimal number":           {"http://0xA9FEA9FE", "ends in a number"},
		"octal numbers":                    {"http://0251.0376.0251.0376", "ends in a number"},
		"three numbers":                    {"http://169.254.43518", "ends in a number"},
		"numbers and a final dot":          {"http://169.254.169.254.", "ends in a number"},
		"a hexadecimal last label":         {"http://169.254.169.0xfe", "ends in a number"},
		"no address of a host":             {"http://0.0.0.0:80", "is no address of a host"},
		"a multicast address":              {"http://[ff02::1]", "is no address of a host"},
	} {
		t.Run(name, func(t *testing.T) {
			e := routing.Build(routing.Input{Endpoints: []routing.EndpointSpec{endpoint("e", at(tc.url))}}).Endpoints[0]
			if e.Refused.Reason != routing.ReasonInvalidURL || !strings.Contains(e.Refused.Message, tc.wantMessage) {
				t.Errorf("refused %q, want reason InvalidURL and a message that has %q", e.Refused, tc.wantMessage)
			}
			if !strings.HasPrefix(e.Refused.Message, "spec.url") || strings.Contains(e.Refused.Message, "hunter2") {
				t.Errorf("the message %q must begin with the field and keep secrets", e.Refused.Message)
			}
			if e.Standby != e.Refused || e.Scheme+e.Address+e.Host+e.BasePath != "" {
				t.Errorf("standby %v, target %q: a refused endpoint is on standby and goes nowhere", e.Standby, e.Address)
			}
		})
	}
}

func TestAddressProblemLetsOrdinaryAddressesThrough(t *testing.T) {
	for _, addr := range []string{
		"127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd12::1", "::ffff:8.8.8.8", "64:ff9b::808:808",
	} {
		if problem := routing.AddressProblem(netip.MustParseAddr(addr)); problem != "" {
			t.Errorf("%s: %s", addr, problem)
		}
	}
	if routing.AddressProblem(netip.Addr{}) == "" {
		t.Error("the zero address has no problem")
	}
}

func TestEndpointsOnStandby(t *testing.T) {
	secret := routing.Refusal{Reason: "SecretNotFound", Message: "there is no Secret"}
	unresolved := func(e *routing.EndpointSpec) { e.Unresolved = secret }
	misfit := func(e *routing.EndpointSpec) {
		e.Misfit = routing.Refusal{Reason: "InvalidSchedule", Message: "spec.maintenance[0].schedule: no"}
	}
	for name, tc := range map[string]struct {
		spec        routing.EndpointSpec
		wantStandby string
		wantRefused string
		wantMessage string
	}{
		"an ordinary endpoint is active":                 {spec: endpoint("e")},
		"a suspended endpoint":                           {spec: endpoint("e", suspended), wantStandby: "Manual", wantMessage: "spec.suspend"},
		"a misspelt capability":                          {spec: endpoint("e", offering("ocr", "chat-completions")), wantStandby: "UnknownCapability", wantRefused: "UnknownCapability", wantMessage: "did you mean chat-completion"},
		"a missing Secret":                               {spec: endpoint("e", unresolved), wantStandby: "SecretNotFound", wantMessage: secret.Message},
		"a refused spec comes before a missing Secret":   {spec: endpoint("e", at("x"), unresolved), wantStandby: "InvalidURL", wantRefused: "InvalidURL", wantMessage: "spec.url"},
		"a schedule that is not understood":              {spec: endpoint("e", misfit, unresolved), wantStandby: "InvalidSchedule", wantRefused: "InvalidSchedule", wantMessage: "spec.maintenance"},
		"a URL is told before a schedule":                {spec: endpoint("e", at("x"), misfit), wantStandby: "InvalidURL", wantRefused: "InvalidURL", wantMessage: "spec.url"},
		"suspension comes before everything else":        {spec: endpoint("e", at("x"), unresolved, suspended), wantStandby: "Manual", wantRefused: "InvalidURL", wantMessage: "spec.suspend"},
		"a capability is told before a URL, as one word": {spec: endpoint("e", at("x"), offering("typo")), wantStandby: "UnknownCapability", wantRefused: "UnknownCapability", wantMessage: "spec.capabilities"},
	} {
		t.Run(name, func(t *testing.T) {
			table := routing.Build(routing.Input{
				Endpoints: []routing.EndpointSpec{tc.spec},
				Policies:  []routing.PolicySpec{policy("p", 1, models("chat"), tiers(listing("e")))},
			})
			e, p := table.Endpoints[0], table.Policies[0]
			if e.Standby.Reason != tc.wantStandby || !strings.Contains(e.Standby.Message, tc.wantMessage) || e.Refused.Reason != tc.wantRefused {
				t.Errorf("standby %v, refused %v, want %q, %q and a message with %q", e.Standby, e.Refused, tc.wantStandby, tc.wantRefused, tc.wantMessage)
			}
			wantActive := 0
			if tc.wantStandby == "" {
				wantActive = 1
			}
			if p.Total != 1 || p.Active != wantActive {
				t.Errorf("the policy counts %d of %d active, want %d of 1", p.Active, p.Total, wantActive)
			}
		})
	}
}

func TestEndpointsAreJudgedByThePoliciesThatHaveThem(t *testing.T) {
	judging := func(name string) func(*routing.PolicySpec) {
		return func(p *routing.PolicySpec) {
			p.Unit = modelstate.Unit{Policy: name, ConsecutiveFailures: int64(len(name))}
		}
	}
	table := routing.Build(routing.Input{
		Endpoints: []routing.EndpointSpec{endpoint("alone"), endpoint("both"), endpoint("both-too"), endpoint("one"), endpoint("elsewhere", inNamespace("other"))},
		Policies: []routing.PolicySpec{
			policy("b", 1, models("m"), tiers(listing("both", "one", "both-too"), listing("both")), judging("b")),
			policy("a", 2, models("n"), tiers(listing("one"), listing("both-too"), listing("both")), judging("a")),
			policy("c", 3, models("o"), tiers(listing("alone")), serving("typo"), judging("c")), // refused: it has no endpoints
			policy("b", 1, policyIn("other"), serving(chat), judging("theirs")),
			policy("d", 1, models("p"), tiers(listing("one", "unknown")), judging("d")),
		},
	})
	want := map[string][]string{
		"default/alone": {""}, "default/both": {"a", "b"}, "default/both-too": {"a", "b"}, "default/one": {"a", "b", "d"}, "other/elsewhere": {"theirs"},
	}
	got := map[string][]string{}
	for _, e := range table.Endpoints {
		for _, unit := range e.Units {
			got[e.Key.String()] = append(got[e.Key.String()], unit.Policy)
			if unit.Policy == "" && unit != modelstate.DefaultUnit {
				t.Errorf("%s is judged by %+v", e.Key, unit)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPools(t *testing.T) {
	labelled := func(key, value string) func(*routing.EndpointSpec) {
		return func(e *routing.EndpointSpec) { e.Labels = map[string]string{key: value} }
	}
	by := func(provider string) func(*routing.EndpointSpec) {
		return func(e *routing.EndpointSpec) { e.Provider = provider }
	}
	require := func(label string, op routing.SelectorOp, values ...string) routing.TierSpec {
		return matching(routing.Match{Labels: []routing.Requirement{{Label: label, Op: op, Values: values}}})
	}
	unknown := func(e *routing.EndpointSpec) { e.FeaturesKnown = false }
	endpoints := []routing.EndpointSpec{
		endpoint("delta", offering("generation"), by("vllm")),
		endpoint("alpha", labelled("region", "eu"), declaring(routing.Vision|routing.Audio)),
		endpoint("charlie", offering("text-completion", "code-generation"), by("vllm"), labelled("region", "us")),
		endpoint("bravo", offering("text-embeddings"), by("acme"), declaring(routing.Vision)),
		endpoint("echo", offering("acme.com/a.b"), declaring(routing.Vision|routing.Audio), unknown),
		endpoint("alpha", inNamespace("other")),
		endpoint("foreign", inNamespace("other")),
	}
	for name, tc := range map[string]struct {
		capability string
		tiers      []routing.TierSpec
		want       [][]string
		wantReason string
		wantLost   string
	}{
		"no tiers: everything at or below the node, by name": {capability: "text-generation", want: [][]string{{"alpha", "charlie"}}},
		"a category":                            {capability: "generation", want: [][]string{{"alpha", "charlie", "delta"}}},
		"an endpoint above the node is not one": {capability: chat, want: [][]string{{"alpha"}}},
		"a node nobody offers":                  {capability: "ocr", want: [][]string{nil}},
		"a user's own node, from above":         {capability: "acme.com/a", want: [][]string{{"echo"}}},
		"a user's own node, another":            {capability: "acme.com/ab", want: [][]string{nil}},
		"listed order":                          {tiers: []routing.TierSpec{listing("echo", "alpha", "bravo")}, want: [][]string{{"echo", "alpha", "bravo"}}},
		"listed twice":                          {tiers: []routing.TierSpec{listing("echo", "echo")}, want: [][]string{{"echo"}}},
		"in several tiers: the earliest":        {tiers: []routing.TierSpec{listing("bravo"), listing("alpha", "bravo"), listing("alpha", "echo")}, want: [][]string{{"bravo"}, {"alpha"}, {"echo"}}},
		"the rest of the pool as a second tier": {capability: "generation", tiers: []routing.TierSpec{listing("delta"), {}}, want: [][]string{{"delta"}, {"alpha", "charlie"}}},
		"a missing endpoint":                    {tiers: []routing.TierSpec{listing("alpha", "gamma")}, want: [][]string{{"alpha"}}, wantReason: "EndpointNotFound", wantLost: `spec.tiers[0].endpoints: there is no ModelEndpoint "gamma" in namespace "default"`},
		"an endpoint of another namespace":      {tiers: []routing.TierSpec{listing("alpha"), listing("foreign")}, want: [][]string{{"alpha"}, nil}, wantReason: "EndpointNotFound", wantLost: `spec.tiers[1].endpoints: there is no ModelEndpoint "foreign"`},
		"an endpoint that offers another thing": {capability: chat, tiers: []routing.TierSpec{listing("bravo", "alpha")}, want: [][]string{{"alpha"}}, wantReason: "CapabilityMismatch", wantLost: `ModelEndpoint "bravo" does not offer chat-completion`},
		"both problems":                         {capability: chat, tiers: []routing.TierSpec{listing("gamma", "bravo")}, want: [][]string{nil}, wantReason: "EndpointNotFound", wantLost: `ModelEndpoint "bravo" does not offer chat-completion`},
		"more problems than fit":                {tiers: []routing.TierSpec{listing("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")}, want: [][]string{nil}, wantReason: "EndpointNotFound", wantLost: "and 2 more"},
		"match by provider":                     {tiers: []routing.TierSpec{matching(routing.Match{Providers: []string{"vllm", "acme"}})}, want: [][]string{{"bravo", "charlie", "delta"}}},
		"match by excluded provider":            {tiers: []routing.TierSpec{matching(routing.Match{ExcludedProviders: []string{"vllm", "acme"}})}, want: [][]string{{"alpha", "echo"}}},
		"match by declared features":            {tiers: []routing.TierSpec{matching(routing.Match{Features: routing.Vision | routing.Audio})}, want: [][]string{{"alpha"}}},
		"match within a capability":             {capability: "generation", tiers: []routing.TierSpec{matching(routing.Match{Providers: []string{"vllm", "acme"}})}, want: [][]string{{"charlie", "delta"}}},
		"all of a match must hold":              {tiers: []routing.TierSpec{matching(routing.Match{Providers: []string{"vllm"}, Labels: []routing.Requirement{{Label: "region", Op: routing.Exists}}})}, want: [][]string{{"charlie"}}},
		"a listed endpoint must match too":      {tiers: []routing.TierSpec{{Endpoints: []string{"delta", "alpha"}, Match: &routing.Match{Providers: []string{"vllm"}}}}, want: [][]string{{"delta"}}},
		"label In":                              {tiers: []routing.TierSpec{require("region", routing.In, "eu", "asia")}, want: [][]string{{"alpha"}}},
		"an absent label is not an empty one":   {tiers: []routing.TierSpec{require("region", routing.In, "")}, want: [][]string{nil}},
		"label NotIn also where it is absent":   {tiers: []routing.TierSpec{require("region", routing.NotIn, "eu")}, want: [][]string{{"bravo", "charlie", "delta", "echo"}}},
		"label Exists":                          {tiers: []routing.TierSpec{require("region", routing.Exists)}, want: [][]string{{"alpha", "charlie"}}},
		"label DoesNotExist":                    {tiers: []routing.TierSpec{require("region", routing.DoesNotExist)}, want: [][]string{{"bravo", "delta", "echo"}}},
		"a label comparison of a newer version": {tiers: []routing.TierSpec{require("region", routing.SelectorOp(99))}, want: [][]string{nil}},
		"an empty match is everything":          {tiers: []routing.TierSpec{matching(routing.Match{})}, want: [][]string{{"alpha", "bravo", "charlie", "delta", "echo"}}},
		"nothing asked for is nothing":          {want: [][]string{nil}},
	} {
		t.Run(name, func(t *testing.T) {
			spec := policy("p", 1, models("m"), serving(tc.capability), tiers(tc.tiers...))
			p := routing.Build(routing.Input{Endpoints: endpoints, Policies: []routing.PolicySpec{spec}}).Policies[0]
			if diff := cmp.Diff(tc.want, tierNames(p)); diff != "" {
				t.Errorf("tiers (-want +got):\n%s", diff)
			}
			if p.Unresolved.Reason != tc.wantReason || !strings.Contains(p.Unresolved.Message, tc.wantLost) {
				t.Errorf("unresolved %q, want %q and a message with %q", p.Unresolved, tc.wantReason, tc.wantLost)
			}
			for _, tier := range p.Tiers {
				for _, e := range tier.Endpoints {
					if e.Key.Namespace != "default" {
						t.Errorf("%s is in the pool of a policy in default", e.Key)
					}
				}
			}
		})
	}
}

func TestAPolicyWithAMisspeltCapabilityKeepsItsNamesAndServesNobody(t *testing.T) {
	table := routing.Build(routing.Input{
		Endpoints: []routing.EndpointSpec{endpoint("alpha")},
		Policies: []routing.PolicySpec{
			policy("older", 1, models("chat"), serving("chat-completoin"), tiers(listing("alpha"), routing.TierSpec{})),
			policy("younger", 2, models("chat"), serving(chat)),
		},
	})
	p := table.Policies[0]
	if p.Refused.Reason != routing.ReasonUnknownCapability || !strings.Contains(p.Refused.Message, "spec.capability: ") ||
		!strings.Contains(p.Refused.Message, "did you mean chat-completion") {
		t.Errorf("refused %v", p.Refused)
	}
	if diff := cmp.Diff([][]string{nil, nil}, tierNames(p)); diff != "" || p.Total != 0 || p.Node != "" {
		t.Errorf("a policy without its capability has a pool: %s", diff)
	}
	if route, err := table.Resolve("default", "chat"); err != nil || route.Policy != p {
		t.Errorf("chat went to %v, %v: a slip of the owner must not hand its name to another", route, err)
	}
}

func TestNameConflicts(t *testing.T) {
	for name, tc := range map[string]struct {
		policies    []routing.PolicySpec
		wantNames   map[string][]string
		wantRefused map[string]string
	}{
		"the older policy keeps the name": {
			policies:    []routing.PolicySpec{policy("a", 20, models("chat", "fast")), policy("b", 10, models("chat"))},
			wantNames:   map[string][]string{"default/a": {"fast"}, "default/b": {"chat"}},
			wantRefused: map[string]string{"default/a": `spec.models: "chat" belongs to policy default/b`},
		},
		"of two of the same second the first by name": {
			policies:    []routing.PolicySpec{policy("b", 10, models("chat")), policy("a", 10, models("chat"))},
			wantNames:   map[string][]string{"default/a": {"chat"}, "default/b": nil},
			wantRefused: map[string]string{"default/b": `"chat" belongs to policy default/a`},
		},
		"namespaces do not meet": {
			policies:  []routing.PolicySpec{policy("a", 1, models("chat")), policy("a", 2, models("chat"), policyIn("other"))},
			wantNames: map[string][]string{"default/a": {"chat"}, "other/a": {"chat"}},
		},
		"listed twice by one policy": {
			policies:  []routing.PolicySpec{policy("a", 1, models("chat", "chat"))},
			wantNames: map[string][]string{"default/a": {"chat"}},
		},
		"names no request can ask for": {
			policies:  []routing.PolicySpec{policy("a", 1, models("", "x/y", "chat"))},
			wantNames: map[string][]string{"default/a": {"chat"}},
		},
		"several owners": {
			policies: []routing.PolicySpec{policy("a", 1, models("x")), policy("b", 2, models("y")), policy("c", 3, models("x", "y", "z"))},
			wantNames: map[string][]string{
				"default/a": {"x"}, "default/b": {"y"}, "default/c": {"z"},
			},
			wantRefused: map[string]string{"default/c": `"x" belongs to policy default/a, "y" belongs to policy default/b, which had it first`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			table := routing.Build(routing.Input{Policies: tc.policies})
			for _, p := range table.Policies {
				key := p.Key.String()
				if diff := cmp.Diff(tc.wantNames[key], p.Names); diff != "" {
					t.Errorf("names of %s (-want +got):\n%s", key, diff)
				}
				want := tc.wantRefused[key]
				if (p.Refused.Reason == routing.ReasonNameConflict) != (want != "") || !strings.Contains(p.Refused.Message, want) {
					t.Errorf("%s is refused with %v, want a message with %q", key, p.Refused, want)
				}
				for _, owned := range p.Names {
					if route, err := table.Resolve(p.Key.Namespace, owned); err != nil || route.Policy != p {
						t.Errorf("%s does not get its name %s: %v", key, owned, err)
					}
				}
			}
		})
	}
}

func TestTheTableIsSortedAndFound(t *testing.T) {
	newer := endpoint("a", func(e *routing.EndpointSpec) { e.Generation, e.UID = 7, "newer" })
	table := routing.Build(routing.Input{
		Endpoints: []routing.EndpointSpec{endpoint("b"), endpoint("a"), newer, endpoint("z", inNamespace("alpha"))},
		Policies: []routing.PolicySpec{
			policy("q", 1, models("q")), policy("p", 2, models("p"), tiers(listing("a"), listing("b"))), policy("r", 1, policyIn("alpha"), models("r")),
		},
	})
	var endpoints, policies []string
	for i, e := range table.Endpoints {
		endpoints = append(endpoints, e.Key.String()+" "+e.UID)
		if e.Index != i || table.Endpoint(e.Key) != e {
			t.Errorf("%s has index %d at place %d", e.Key, e.Index, i)
		}
	}
	for _, p := range table.Policies {
		policies = append(policies, p.Key.String())
		if table.Policy(p.Key) != p {
			t.Errorf("%s is not found", p.Key)
		}
	}
	if diff := cmp.Diff([]string{"alpha/z uid-z", "default/a newer", "default/b uid-b"}, endpoints); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"alpha/r", "default/p", "default/q"}, policies); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(table.Policies[1:], table.PoliciesIn("default"), cmp.Comparer(func(a, b *routing.Policy) bool { return a == b })); diff != "" {
		t.Errorf("policies in default (-want +got):\n%s", diff)
	}
	if table.Endpoint(routing.Key{Namespace: "default", Name: "z"}) != nil || table.Policy(routing.Key{}) != nil || table.PoliciesIn("nowhere") != nil {
		t.Error("found what is not there")
	}
}

func TestEveryTierHasATurnOfItsOwn(t *testing.T) {
	table := routing.Build(routing.Input{Policies: []routing.PolicySpec{
		policy("q", 1, models("q")), policy("p", 2, models("p"), tiers(listing("a"), listing("b"))), policy("r", 1, policyIn("alpha"), models("r")),
	}})
	turn := 0
	for _, p := range table.Policies {
		for _, tier := range p.Tiers {
			if tier.Turn != turn {
				t.Errorf("%s has turn %d, want %d", p.Key, tier.Turn, turn)
			}
			turn++
		}
	}
	if table.Turns != turn || turn != 4 {
		t.Errorf("%d turns, counted %d, want 4", table.Turns, turn)
	}
}
