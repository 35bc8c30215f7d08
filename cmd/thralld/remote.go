package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/thralld/thralld/config"
	"github.com/thralld/thralld/pkg/control"
)

// remote wraps what a command asks of the daemon that runs with the same options.
func (in *invocation) remote(do func(context.Context, *invocation, *control.Client) error) func(*cobra.Command, []string) error {
	return in.prefaced(func(ctx context.Context, words []string) error {
		cfg, mistakes := in.load(words)
		client, err := dial(in.file, cfg, mistakes)
		if err != nil {
			return err
		}
		defer client.Close()
		return do(ctx, in, client)
	})
}

// dial connects to the daemon of a configuration. One with mistakes, if there is
// any of it, still says where the socket is: the mistakes are for the daemon to
// tell, which reads the file as well, and are told here if they may be the reason
// that it is not found.
func dial(file string, cfg *config.Config, mistakes error) (*control.Client, error) {
	if cfg == nil {
		return nil, mistakes
	}
	client, err := control.Dial(controlPaths(file, cfg)...)
	if err != nil {
		return nil, errors.Join(err, mistakes)
	}
	return client, nil
}

// remoteReload has the daemon reload, and shows how it goes.
func remoteReload(ctx context.Context, in *invocation, client *control.Client) error {
	meter := progressMeter{w: in.std.out, bar: in.std.outTerminal}
	err := client.Reload(ctx, in.noWait, meter.show)
	meter.end()
	switch {
	case ctx.Err() != nil:
		return errors.New("not waiting any longer: the reload goes on, and thralld status tells how")
	case err != nil:
		return err
	case in.noWait:
		return in.say("reload begun: thralld status tells how it goes")
	}
	return in.say("reloaded")
}

// remoteStatus prints what the daemon does.
func remoteStatus(ctx context.Context, in *invocation, client *control.Client) error {
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if !in.json {
		return status.WriteText(in.std.out, time.Now())
	}
	encoder := json.NewEncoder(in.std.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(status)
}

// remoteStop has the daemon stop, and returns when it has ended.
func remoteStop(ctx context.Context, in *invocation, client *control.Client) error {
	pid, err := client.Stop(ctx)
	switch {
	case ctx.Err() != nil:
		return errors.New("not waiting any longer: thralld stops when its requests have ended")
	case err != nil:
		return err
	}
	return in.say(fmt.Sprintf("thralld (process %d) has stopped", pid))
}

// trace prints where a worker is in its Perl code. Its first word is the worker's
// process id.
func (in *invocation) trace() func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, words []string) error {
		pid := 0
		switch {
		case in.help || in.version:
		case len(words) == 0:
			in.usage = append(in.usage, "trace needs the process id of a worker; thralld status shows them")
		default:
			var err error
			if pid, err = strconv.Atoi(words[0]); err != nil || pid <= 0 {
				in.usage = append(in.usage, fmt.Sprintf("trace: got %q, want the process id of a worker; thralld status shows them", words[0]))
			}
			words = words[1:]
		}
		return in.remote(func(ctx context.Context, in *invocation, client *control.Client) error {
			text, err := client.Trace(ctx, pid)
			if err != nil {
				return err
			}
			return in.say(text)
		})(cmd, words)
	}
}
