package main

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/thralld/thralld/config"
)

// newLogger makes the log of the daemon, on standard error: lines for people when
// that is a terminal, with colours, else JSON; log_format can ask for either.
//
// Its level follows the one that is given, which a reload may change.
func newLogger(cfg *config.Config, std stdio, least zap.AtomicLevel) *zap.Logger {
	return logTo(std, cfg, least)
}

// newAppLogger makes the log of what the app prints. A line on STDERR has no
// level, and quietness is thralld's own: it is never dropped.
func newAppLogger(cfg *config.Config, std stdio, least zap.AtomicLevel) *zap.Logger {
	always := zap.LevelEnablerFunc(func(l zapcore.Level) bool { return l >= zapcore.InfoLevel || least.Enabled(l) })
	return logTo(std, cfg, always).Named("app")
}

func logTo(std stdio, cfg *config.Config, least zapcore.LevelEnabler) *zap.Logger {
	sink := zapcore.Lock(zapcore.AddSync(std.err))
	return zap.New(zapcore.NewCore(encoder(cfg.LogFormat, std.terminal), sink, least), zap.ErrorOutput(sink))
}

// level is the least level that is logged. The configuration has checked the word.
func level(cfg *config.Config) zapcore.Level {
	least, err := zapcore.ParseLevel(cfg.LogLevel)
	if err != nil {
		least = zapcore.InfoLevel
	}
	if cfg.Quiet {
		return max(least, zapcore.WarnLevel)
	}
	return least
}

func encoder(format string, terminal bool) zapcore.Encoder {
	fields := zapcore.EncoderConfig{
		TimeKey:        "time",
		LevelKey:       "level",
		NameKey:        "logger",
		MessageKey:     "msg",
		LineEnding:     zapcore.DefaultLineEnding,
		EncodeTime:     zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00"),
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
		EncodeName:     zapcore.FullNameEncoder,
	}
	if format == "json" || (format == "auto" && !terminal) {
		return zapcore.NewJSONEncoder(fields)
	}
	fields.EncodeTime = zapcore.TimeEncoderOfLayout(time.TimeOnly)
	fields.EncodeLevel = zapcore.CapitalLevelEncoder
	if terminal {
		fields.EncodeLevel = zapcore.CapitalColorLevelEncoder
	}
	fields.ConsoleSeparator = " "
	return zapcore.NewConsoleEncoder(fields)
}

// logNotices logs what the command line said to no effect.
func (in *invocation) logNotices(log *zap.Logger) {
	for _, notice := range in.notices {
		log.Warn("option without effect", zap.String("notice", notice))
	}
}
