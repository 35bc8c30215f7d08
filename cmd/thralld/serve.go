package main

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/thralld/thralld/config"
)

func serve(ctx context.Context, force <-chan struct{}, cfg *config.Config, notices []string, log *zap.Logger) error {
	return errors.New("not wired yet")
}

func tryApp(ctx context.Context, cfg *config.Config, log *zap.Logger) error {
	return nil
}
