package antiphon.interop;

import java.util.List;

/** Starts one half of a Spring Kafka request-reply pair; the exit code says how it ended. */
public final class Main {

    private static final String USAGE = """
            usage:
              ask BOOTSTRAP REQUEST_TOPIC REPLY_TOPIC COUNT [ENDPOINT]
                  [--reply-partition N] [--text-correlation] [--timeout-seconds N]
              listen BOOTSTRAP REQUEST_TOPIC GROUP
            Both end when standard input is closed.
            exit codes: 0 done, 1 failed, 2 usage, 3 out of time, 4 standard input closed before the end""";

    private Main() {
    }

    /** Runs {@code ask} or {@code listen}. */
    public static void main(String[] args) {
        int code;
        try {
            code = run(List.of(args));
        } catch (IllegalArgumentException e) {
            System.err.println(e.getMessage() + "\n" + USAGE);
            code = 2;
        } catch (Exception e) {
            e.printStackTrace();
            code = 1;
        }
        System.out.flush();
        // Client threads that linger must not keep the process alive after its result is known.
        Runtime.getRuntime().halt(code);
    }

    private static int run(List<String> args) throws Exception {
        String command = args.isEmpty() ? "" : args.get(0);
        return switch (command) {
            case "ask" -> Ask.run(AskOptions.parse(args.subList(1, args.size())));
            case "listen" -> Listen.run(args.subList(1, args.size()));
            default -> throw new IllegalArgumentException("unknown command '" + command + "'");
        };
    }
}
