package antiphon.interop;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * The arguments of {@code ask}.
 *
 * @param endpoint the {@code antiphon-endpoint} header, or null to send none, as a plain Spring caller does
 * @param replyPartition the one partition replies are read from, or null for a group over the whole reply topic
 * @param textCorrelation sends the correlation id as hyphenated text instead of 16 raw bytes
 * @param timeout the bound on the whole run
 */
record AskOptions(String bootstrap, String requestTopic, String replyTopic, int count, String endpoint,
        Integer replyPartition, boolean textCorrelation, Duration timeout) {

    static AskOptions parse(List<String> args) {
        List<String> positional = new ArrayList<>();
        Integer replyPartition = null;
        boolean textCorrelation = false;
        Duration timeout = Duration.ofSeconds(60);
        for (int i = 0; i < args.size(); i++) {
            String arg = args.get(i);
            switch (arg) {
                case "--reply-partition" -> replyPartition = number(arg, args, ++i);
                case "--text-correlation" -> textCorrelation = true;
                case "--timeout-seconds" -> timeout = Duration.ofSeconds(number(arg, args, ++i));
                default -> positional.add(arg);
            }
        }
        if (positional.size() < 4 || positional.size() > 5) {
            throw new IllegalArgumentException("ask takes 4 or 5 arguments, not " + positional.size());
        }
        String endpoint = positional.size() == 5 ? positional.get(4) : null;
        return new AskOptions(positional.get(0), positional.get(1), positional.get(2),
                number("COUNT", positional, 3), endpoint, replyPartition, textCorrelation, timeout);
    }

    private static int number(String name, List<String> args, int index) {
        if (index >= args.size()) {
            throw new IllegalArgumentException(name + " needs a number");
        }
        try {
            return Integer.parseInt(args.get(index));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(name + " needs a number, not '" + args.get(index) + "'", e);
        }
    }
}
